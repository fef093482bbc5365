"""Compose with a trained model."""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from clara.adapter import Adapter
from clara.checkpoint import Checkpoint
from clara.encodings.prompts import DEFAULT_QPM
from clara.encodings.vocab import tokenize
from clara.errors import BadSetting
from clara.models.likelihood import nats_per_piece
from clara.music.notes import COMMON_TIME, NoteSequence, crop, select
from clara.sampling.engine import sample, sample_each, stream
from clara.sampling.grammars import grammar_of
from clara.sampling.grammars.base import DEFAULT_CONSTRAINTS
from clara.sampling.logit_biases import Cadence
from clara.sampling.search import SearchSettings, search
from clara.sampling.settings import SamplingSettings
from clara.sampling.steppers import stepper_maker

HORIZON_QUARTERS = 4  # after a gap, by which fillings are weighed


@dataclass(frozen=True)
class Sample:
    """One composed piece.

    Attributes
    ----------
    tokens : list of str, prompt included, control tokens left out
    notes : NoteSequence, prompt included
    prompt_words : how many of them are the prompt's
    prompt_quarters : how much of it is the prompt
    seed : of its random generator
    settings : that it was sampled with
    """

    tokens: list
    notes: NoteSequence
    prompt_tokens: int
    prompt_quarters: float
    seed: int
    settings: SamplingSettings = field(default_factory=SamplingSettings)

    def composed(self):
        """The notes after the prompt, a NoteSequence."""
        first = round(self.prompt_quarters * self.notes.steps_per_quarter)
        return crop(self.notes, first, max(first, self.notes.n_steps)) if first else self.notes


class Generator:
    """A model ready to compose.

    Parameters
    ----------
    checkpoint : clara.checkpoint.Checkpoint
    precision : of the steps, in `clara.sampling.steppers.PRECISIONS`
    device : as torch takes it; a GPU is for many pieces at once
    """

    def __init__(self, checkpoint, precision="auto", device="cpu"):
        self.encoding, self.vocab, self.repeats = checkpoint.encoding, checkpoint.vocab, checkpoint.repeats()
        self.model = checkpoint.inference_model().to(device)
        self.make_stepper, self.precision = stepper_maker(self.model, precision)

    @classmethod
    def load(cls, folder, adapter=None, precision="auto", device="cpu"):
        """Load a run folder, and an adapter file for it if there is one; raises as `Checkpoint.load` and `Adapter.load`."""
        checkpoint = Checkpoint.load(folder)
        return cls(
            Adapter.load(adapter).apply_to(checkpoint, folder) if adapter else checkpoint,
            precision,
            device,
        )

    def generate(
        self,
        n=8,
        quarters=64.0,
        prompt=None,
        settings=None,
        seed=0,
        qpm=None,
        constraints=DEFAULT_CONSTRAINTS,
        cadence=False,
        key=None,
        fixed_melody=None,
        threads=1,
        on_step=None,
        stop=None,
    ):
        """Compose n pieces in one batch.

        Parameters
        ----------
        n : how many, at least 1
        quarters : length of what is composed, in quarter notes, after the prompt
        prompt : NoteSequence on the encoding's grid to go on from, or None
        settings : how freely to sample; plainly, as the net says, where it is None; or a list, one for each
        seed : of the first piece; the others take the numbers after it
        qpm : tempo of the result; the prompt's, or 110 where it is None
        constraints : clara.sampling.grammars.base.Constraints, what is asked of the notes
        cadence : whether to prefer the tonic chord at the close
        key : (tonic, is_major) of that chord; what each piece has turned out to be in where it is None
        fixed_melody : NoteSequence that stands fixed in all pieces, from the prompt's end on; they last as long as it does, whatever
            `quarters` says. Notewise and its kin
        threads : at most
        on_step : function(steps left), for a progress bar
        stop : threading.Event that ends it early, or None

        Returns
        -------
        list of Sample; where `stop` came, only those that were finished

        Raises
        ------
        BadSetting
            For n, quarters or qpm out of range, a prompt on another grid, or constraints that leave no word.
        """
        if n < 1:
            raise BadSetting(f"n must be at least 1, not {n}")
        steps, qpm, words, ids = self._begin(quarters, prompt, qpm, fixed_melody)
        grammar, seeds = self.grammar(constraints, fixed_melody), [seed + i for i in range(n)]
        texts = sample(
            self.model,
            self.make_stepper,
            grammar,
            settings or SamplingSettings(),
            ids,
            steps,
            seeds,
            self.encoding.steps_per_quarter,
            self._close(grammar, cadence, key),
            self.repeats,
            threads,
            on_step,
            stop,
        )
        each = _for_each(settings, n)
        return [
            self._sample(words, self.vocab.to_tokens(t), prompt, s, qpm, how)
            for t, s, how in zip(texts, seeds, each)
            if t is not None
        ]

    def continue_each(self, prompts, quarters, settings, seeds, constraints=DEFAULT_CONSTRAINTS, threads=1):
        """Compose a piece on from each prompt, all in one batch; each piece is the one that `generate` makes of its prompt and seed.

        Parameters
        ----------
        prompts : list of n NoteSequence or None; one that comes again is read once
        quarters, constraints, threads : as `generate`
        settings : list of n Settings
        seeds : list of n ints

        Returns
        -------
        list of n Sample

        Raises
        ------
        BadSetting
            As `generate`.
        """
        if not len(prompts) == len(settings) == len(seeds) > 0:
            raise BadSetting(
                f"prompts, settings and seeds must be as many, at least 1, not {len(prompts)}, {len(settings)} and {len(seeds)}"
            )
        each = {id(prompt): prompt for prompt in prompts}
        begun = [self._begin(quarters, prompt, None, None) for prompt in each.values()]
        row_of = {key: row for row, key in enumerate(each)}
        rows = np.array([row_of[id(prompt)] for prompt in prompts])
        texts = sample_each(
            self.model,
            self.make_stepper,
            self.grammar(constraints),
            settings,
            [ids for *_, ids in begun],
            rows,
            begun[0][0],
            seeds,
            self.encoding.steps_per_quarter,
            repeats=self.repeats,
            threads=threads,
        )
        return [
            self._sample(begun[row][2], self.vocab.to_tokens(t), prompt, seed, begun[row][1], how)
            for row, t, prompt, seed, how in zip(rows, texts, prompts, seeds, settings)
        ]

    def search(
        self,
        rate,
        n=64,
        quarters=64.0,
        prompt=None,
        settings=None,
        seed=0,
        qpm=None,
        search_settings=SearchSettings(),
        constraints=DEFAULT_CONSTRAINTS,
        cadence=False,
        key=None,
        fixed_melody=None,
        threads=1,
        on_step=None,
        stop=None,
    ):
        """Compose in blocks and go on only from what is rated best (see `clara.sampling.search`); parameters and errors as `generate`, and

        Parameters
        ----------
        rate : function(list of NoteSequence, what is composed so far) -> floats (n,), more is better
        n : number of beams; each block writes `n * search_settings.candidates_per_beam` candidates
        search_settings : SearchSettings

        Returns
        -------
        list of `top` Sample, of n at most, best first, each of another beginning; none where `stop` came
        """
        if n < 1:
            raise BadSetting(f"n must be at least 1, not {n}")
        n = n * search_settings.candidates_per_beam
        steps, qpm, words, ids = self._begin(quarters, prompt, qpm, fixed_melody)
        grammar, first = self.grammar(constraints, fixed_melody), sum(self.encoding.token_steps(words))

        def rated(texts):
            decoded = [self.encoding.decode(words + self.vocab.to_tokens(t))[0] for t in texts]
            return rate([crop(notes, first, max(first, notes.n_steps)) for notes in decoded])

        texts = search(
            self.model,
            self.make_stepper,
            grammar,
            settings or SamplingSettings(),
            ids,
            steps,
            [seed + i for i in range(n)],
            self.encoding.steps_per_quarter,
            search_settings,
            rated,
            self._close(grammar, cadence, key),
            self.repeats,
            threads,
            on_step,
            stop,
        )
        each = _for_each(settings, n)
        return [self._sample(words, self.vocab.to_tokens(t), prompt, seed + i, qpm, each[i]) for t, i in texts]

    def grammar(self, constraints=DEFAULT_CONSTRAINTS, fixed_melody=None):
        """What may be written under some constraints, beside a line; raises BadSetting where nothing may."""
        return grammar_of(self.encoding, self.vocab, constraints, fixed_melody)

    def tokenize(self, prompt):
        """A prompt as words of this model's vocabulary.

        Parameters
        ----------
        prompt : NoteSequence on the encoding's grid

        Returns
        -------
        words : list of str
        losses : Counter with what encoding lost, and `replaced` (words of an open
            vocabulary that the model never saw, in whose place the nearest stands)
        """
        return tokenize(prompt, self.encoding, self.vocab)

    def stream(
        self,
        quarters=64.0,
        prompt=None,
        settings=None,
        seed=0,
        qpm=None,
        constraints=DEFAULT_CONSTRAINTS,
        cadence=False,
        key=None,
        fixed_melody=None,
    ):
        """Compose one piece, note by note; parameters and errors as `generate`, and the same piece.

        Yields
        ------
        NoteSequence of notes that nothing to come will change, never empty; their steps count from the prompt's beginning
        """
        steps, qpm, words, ids = self._begin(quarters, prompt, qpm, fixed_melody)
        grammar, told = self.grammar(constraints, fixed_melody), set()
        before, clock = sum(self.encoding.token_steps(words)), 0
        for text, now in stream(
            self.model,
            self.make_stepper,
            grammar,
            settings or SamplingSettings(),
            ids,
            steps,
            seed,
            self.encoding.steps_per_quarter,
            self._close(grammar, cadence, key),
            self.repeats,
        ):
            ended = len(text) == 0 or now == steps
            if now == clock and not ended:
                continue
            clock = now
            notes, _ = self.encoding.decode(words + self.vocab.to_tokens(text.tolist()), qpm=qpm)
            final = notes.end < before + clock if clock < steps else notes.end > before
            new = [i for i in (final & (notes.end > before)).nonzero()[0] if _named(notes, i) not in told]
            told |= {_named(notes, i) for i in new}
            if new:
                yield select(notes, np.isin(np.arange(len(notes)), new))

    def fill(self, piece, start, end, n=64, settings=None, seed=0, constraints=DEFAULT_CONSTRAINTS, threads=1):
        """Compose some quarters of a piece anew, between what comes before and after.

        A net only looks back, so many fillings are composed forward from what comes before, and
        each is weighed by how likely it makes the next quarters after the gap: an importance
        sampler, whose fillings come back in the order of their weights.

        Parameters
        ----------
        piece : NoteSequence on the encoding's grid
        start, end : of the gap, in quarters; notes that begin in it go, those that sound into it end where the filling has it
        n : fillings to choose from
        settings, seed, constraints, threads : as `generate`

        Returns
        -------
        list of (Sample, float): whole pieces and the nats that what comes after costs, least first

        Raises
        ------
        BadSetting
            If the gap is not within the piece.
        """
        first, last = (round(q * self.encoding.steps_per_quarter) if math.isfinite(q) else -1 for q in (start, end))
        if not 0 <= first < last < piece.n_steps:
            raise BadSetting(f"no quarters {start:g} to {end:g} to fill in a piece of {piece.quarters:g}")
        words = self.tokenize(piece)[0]
        reached = np.cumsum([0, *self.encoding.token_steps(words)])
        before = words[: int(((reached[1:] <= first) & (reached[:-1] < first)).sum())]
        later = select(piece, piece.start >= last)
        after = self.tokenize(replace(later, start=later.start - last))[0]
        steps = last - sum(self.encoding.token_steps(before))
        texts = sample(
            self.model,
            self.make_stepper,
            self.grammar(constraints),
            settings or SamplingSettings(),
            self.vocab.to_ids(["xxbos", *before]),
            steps,
            [seed + i for i in range(n)],
            self.encoding.steps_per_quarter,
            repeats=self.repeats,
            threads=threads,
        )
        filled = [before + self.vocab.to_tokens(t) for t in texts]
        soon = after[
            : int(
                (
                    np.cumsum(self.encoding.token_steps(after)) <= HORIZON_QUARTERS * self.encoding.steps_per_quarter
                ).sum()
            )
        ]
        with_it, without = ([self.vocab.to_ids(["xxbos", *text, *more]) for text in filled] for more in (soon, []))
        cost = (
            nats_per_piece(self.model, with_it, self.vocab.pad_id)
            - nats_per_piece(self.model, without, self.vocab.pad_id)
        ).numpy()
        return [
            (
                self._sample(
                    filled[i],
                    after,
                    None,
                    seed + int(i),
                    piece.qpm,
                    settings or SamplingSettings(),
                    piece.time_signatures,
                ),
                float(cost[i]),
            )
            for i in np.argsort(cost, kind="stable")
        ]

    def _begin(self, quarters, prompt, qpm, fixed_melody):
        """Steps to compose, tempo, the prompt's words and ids."""
        steps = round(quarters * self.encoding.steps_per_quarter) if math.isfinite(quarters) else 0
        steps = fixed_melody.n_steps if fixed_melody else steps
        if steps < 1:
            raise BadSetting(f"quarters must be a step of the grid at least, not {quarters}")
        if qpm is not None and not 0 < qpm < math.inf:
            raise BadSetting(f"qpm must be above 0, not {qpm}")
        words = self.tokenize(prompt)[0] if prompt else []
        return steps, qpm or (prompt.qpm if prompt else DEFAULT_QPM), words, self.vocab.to_ids(["xxbos", *words])

    def _close(self, grammar, cadence, key):
        """The wish for a close, or None."""
        return Cadence(grammar.struck, self._pitch_classes(), self.encoding.steps_per_quarter, key) if cadence else None

    def _pitch_classes(self):
        """Of each tone of the encoding."""
        return self.encoding.pitch_and_part(np.arange(self.encoding.n_tones))[0] % 12

    def _sample(self, before, composed, prompt, seed, qpm, settings, time_signatures=None):
        """The prompt's words and those composed as a Sample; its metre is the prompt's, as words tell none."""
        words = before + composed
        notes, losses = self.encoding.decode(words, qpm=qpm)
        assert not losses, f"the grammar let through {losses}"
        return Sample(
            words,
            replace(notes, time_signatures=time_signatures or (prompt.time_signatures if prompt else COMMON_TIME)),
            len(before),
            prompt.quarters if prompt else 0.0,
            seed,
            settings,
        )


def _for_each(settings, n):
    """Settings, one for all or a list, as a list."""
    return (
        [settings or SamplingSettings()] * n if settings is None or isinstance(settings, SamplingSettings) else settings
    )


def _named(notes, i):
    """A note as a key."""
    return int(notes.start[i]), int(notes.pitch[i]), int(notes.part[i])
