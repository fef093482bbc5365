"""From a wish to ranked candidates, some at a time, so that the first can be heard while the others are composed."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from clara.errors import BadSetting
from clara.music.notes import NoteSequence, crop
from clara_app.web.piece_store import Piece
from clara_app.web.requests import LONGEST_PROMPT
from critic.defaults import DEFAULT_RANKING, default_ranking

FIRST, THEN = 4, 64  # candidates composed together
TOLD_COMPOSERS = 2
TELLING_RUN = 16  # notes; shorter runs stand in any two pieces of a kind
LOUD = 10  # log-odds beyond which a share is told as nearly all


@dataclass
class Candidate:
    """One composed piece, judged.

    Attributes
    ----------
    piece : clara_app.web.piece_store.Piece
    total : what it is ranked by; None where it cannot be judged
    scores : dict of float by name
    told : list of str, the scores in plain words
    words : the text of what is composed
    seed : int
    """

    piece: Piece
    total: float | None
    scores: dict
    told: list
    words: str
    seed: int


class Composer:
    """A generator with its judges, loaded when first asked.

    Parameters
    ----------
    folder : of the model
    threads : of composing
    """

    def __init__(self, folder, threads=1):
        self.folder, self.threads = Path(folder), threads

    @cached_property
    def generator(self):
        """The clara.generator.Generator."""
        from clara.generator import Generator

        return Generator.load(self.folder)

    @cached_property
    def judges(self):
        """The critic.scores.Judges."""
        from critic.scores import ScoringModels

        return ScoringModels("chordwise" if self.generator.encoding.name == "chordwise" else "notewise")

    @cached_property
    def composers(self):
        """Names of the composers that a wish may name."""
        return self.judges.composer_classifier.classes

    def warm(self):
        """Load all, and compose a moment, so that the first wish does not wait for it."""
        self._judged(self.generator.generate(1, 16), "", DEFAULT_RANKING)

    def candidates(self, wish, prompt=None, title="", on_step=None, stop=None):
        """Compose and judge.

        Parameters
        ----------
        wish : clara_app.web.requests.Wish
        prompt : NoteSequence to go on from, on any grid, or None
        title : of the pieces
        on_step : function(share that is done, 0 to 1)
        stop : threading.Event

        Yields
        ------
        list of Candidate, as they are finished

        Raises
        ------
        BadSetting, NoNotes
            For what cannot be composed.
        """
        by = default_ranking(prompt is not None) + (f" + composer:{wish.composer}" if wish.composer else "")
        if wish.composer and wish.composer not in self.composers:
            raise BadSetting(f"no composer {wish.composer!r}; there are {', '.join(self.composers)}")
        prompt = self._on_grid(prompt, wish.prompt_quarters) if prompt is not None else None
        steps, done = round(wish.quarters * self.generator.encoding.steps_per_quarter), 0
        for n in [wish.candidates] if wish.search else _batches(wish.candidates):

            def on_left(left, done=done, n=n):
                on_step((done + n * (1 - left / steps)) / wish.candidates)

            make = partial(self.generator.search, partial(self._rate, by)) if wish.search else self.generator.generate
            samples = make(
                n,
                wish.quarters,
                prompt,
                wish.settings,
                wish.seed + done,
                wish.qpm,
                constraints=wish.constraints,
                cadence=wish.cadence,
                key=wish.key,
                threads=self.threads,
                on_step=on_step and on_left,
                stop=stop,
            )
            if samples:
                yield self._judged(samples, title, by)
            if stop and stop.is_set():
                return
            done += n

    def _on_grid(self, notes, quarters):
        """A prompt as this model's encoding can hold it."""
        from critic.nets.inputs import regrid

        notes = crop(notes, 0, round((quarters or LONGEST_PROMPT) * notes.steps_per_quarter))
        encoding = self.generator.encoding
        if notes.instruments != encoding.instruments:
            notes = replace(notes, instruments=encoding.instruments) if len(encoding.prefixes) > 1 else notes
        return encoding.fold_to_range(regrid(notes, encoding))[0]

    def _score(self, by):
        from critic.scores import parse_ranking

        return parse_ranking(by, self.judges)

    def _rate(self, by, pieces):
        """What a search goes by."""
        from critic.ranking import total_scores

        return total_scores(pieces, self._score(by))

    def _judged(self, samples, title, by):
        """Samples as candidates."""
        from critic.ranking import rank_pieces

        parts = [s.composed() for s in samples]
        told = rank_pieces(parts, self._score(by))[1]
        fine = [i for i, t in enumerate(told) if t]
        curves = dict(zip(fine, self.judges.critic.window_log_odds([parts[i] for i in fine]))) if fine else {}
        likeness = dict(zip(fine, self.judges.composer_classifier.log_probs([parts[i] for i in fine]))) if fine else {}
        found = []
        for i, (sample, scores) in enumerate(zip(samples, told)):
            run = self.judges.note_index.longest_run(parts[i])
            piece = Piece(
                sample.notes,
                title,
                sample.prompt_quarters,
                [round(float(x), 3) for x in curves.get(i, [])],
                self.judges.critic.window_quarters,
            )
            found.append(
                Candidate(
                    piece,
                    scores.get("total"),
                    {k: v for k, v in scores.items() if k != "total"} | {"longest_copied_run": run.n_notes},
                    in_words(scores.get("critic"), likeness.get(i), self.composers, run),
                    " ".join(sample.tokens[sample.prompt_tokens :]),
                    sample.seed,
                )
            )
        return found


def _batches(n):
    """Sizes of batches: a small one first."""
    yield min(n, FIRST)
    for at in range(FIRST, n, THEN):
        yield min(THEN, n - at)


def in_words(odds, likeness, composers, run):
    """Scores in plain words.

    Parameters
    ----------
    odds : log-odds that it is human, or None
    likeness : log-probabilities of the composers, or None
    composers : their names
    run : critic.copy_index.CopiedRun, the longest that stands in the training music

    Returns
    -------
    list of str
    """
    if odds is None:
        return ["too short or too silent to be judged"]
    share = 100 / (1 + np.exp(-np.clip(odds, -LOUD, LOUD)))
    told = [f"The critic gives {share:.0f} of 100 that a human wrote it."]
    if likeness is not None:
        best = np.argsort(-likeness)[:TOLD_COMPOSERS]
        told.append(
            "Most like "
            + ", then ".join(f"{composers[i].capitalize()} ({100 * np.exp(likeness[i]):.0f} %)" for i in best)
            + "."
        )
    if run.n_notes >= TELLING_RUN and run.source:
        told.append(f"{run.n_notes} notes in a row stand in the training music too: {run.source}.")
    else:
        told.append("No long run of its notes stands in the training music.")
    return told


def describe(notes: NoteSequence):
    """Notes as the page draws them: [start, length, pitch, part] in quarters, and how long they last."""
    per = notes.steps_per_quarter
    rows = np.stack([notes.start / per, notes.duration / per, notes.pitch, notes.part], 1)
    return {
        "notes": rows.round(4).tolist(),
        "quarters": notes.quarters,
        "seconds": round(notes.seconds, 1),
        "qpm": notes.qpm,
    }
