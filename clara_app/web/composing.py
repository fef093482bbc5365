"""Compose the candidates of a request, and describe them in plain words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Event

import numpy as np

from clara.form.plan import Plan
from clara.music.bars import bar_lines, describe_time_signatures
from clara.music.notes import NoteSequence
from clara.performing.playing import PlayedPrompt
from clara.rendering.form_strip import FormStrip
from clara_app.compose_request import ComposeRequest
from clara_app.composer import Composer
from clara_app.web.changes import AGAIN, change_bars
from clara_app.web.pieces import Piece
from critic.copy_index import CopiedRun
from critic.defaults import DEFAULT_RANKING
from critic.piece_names import readable_name
from critic.scores import parse_ranking

FIRST_BATCH_SIZE = 4  # candidates to compose first, so that the user soon has something to listen to
BATCH_SIZE = 64  # candidates to compose at a time afterwards
N_NAMED_COMPOSERS = 2
MIN_REPORTED_RUN = 16  # notes; shorter runs occur in any two pieces of a kind
MIN_SURE_SHARE = 0.5  # of the likeliest composer, who then is named alone
LIKELIHOOD_WORDS = ((0.9, "very likely"), (0.65, "likely"), (0.35, "perhaps"), (0.1, "unlikely"), (0, "very unlikely"))
MAX_LOG_ODDS = 10  # larger log-odds are shown as this, so that a share is never quite 0 or 100


@dataclass
class Candidate:
    """A composed piece and its scores.

    Attributes
    ----------
    piece : Piece
    total : float or None
        What it is ranked by; None if it cannot be scored.
    scores : dict of str to float
    verdicts : list of str
        What the scores mean for a listener.
    details : list of str
        The figures behind them.
    text : str
        The composed tokens.
    seed : int
    """

    piece: Piece
    total: float | None
    scores: dict[str, float]
    verdicts: list[str]
    details: list[str]
    text: str
    seed: int


def compose_candidates(
    composer: Composer,
    request: ComposeRequest,
    title: str = "",
    prompt: Piece | None = None,
    on_progress: Callable[[float], None] | None = None,
    stop: Event | None = None,
    change: str = AGAIN,
) -> Iterator[list[Candidate]]:
    """Compose and score the candidates of a request.

    Parameters
    ----------
    composer : Composer
    request : ComposeRequest
    title : str
        Title of the pieces.
    prompt : Piece, optional
        The prompt of the request; what is composed goes on as it is played.
    on_progress : function(share), optional
        Called with the share that is done, from 0 to 1.
    stop : threading.Event, optional
    change : str
        What happens to the passage that the request names, if it names one; one of `clara_app.web.changes.CHANGES`.

    Yields
    ------
    list of Candidate
        The candidates of a batch, once they are finished.

    Raises
    ------
    BadSetting, NoNotes
        If the request cannot be composed.
    """
    prepared = composer.prepare(request)
    if prompt is not None and not request.flat:
        begin, end = request.fill or (request.prompt_quarters or prompt.notes.quarters, np.inf)
        prepared = replace(prepared, played_prompt=PlayedPrompt(prompt.notes, prompt.expression, begin, end))
    if request.fill:  # they are composed by their likelihood, and listed by how human the whole pieces sound
        if change != AGAIN:  # there is new music in several places, so the whole piece is performed again
            prepared = replace(prepared, played_prompt=None)
        prepared = replace(prepared, ranking=parse_ranking(DEFAULT_RANKING, composer.scoring_models))
        for n_done, sample in enumerate(change_bars(composer.generator, prepared, change, composer.threads, stop), 1):
            samples = [replace(sample, played_prompt=prepared.played_prompt)]
            yield _candidates(
                composer.scoring_models, samples, composer.score([sample.notes], prepared), title, request.flat
            )
            if on_progress:
                on_progress(n_done / request.n)
        return
    batch_sizes = [request.n] if request.search else _batch_sizes(request.n)
    on_stage = (lambda _, share: on_progress(share)) if on_progress else None
    for samples in composer.sample(prepared, batch_sizes, on_stage, stop):
        scores = composer.score([sample.composed() for sample in samples], prepared)
        yield _candidates(composer.scoring_models, samples, scores, title, request.flat)


def drafts_of_search(request: ComposeRequest) -> ComposeRequest | None:
    """Return a request for a few pieces that are soon there, if the request searches and so takes longer; or None."""
    n = min(request.n, FIRST_BATCH_SIZE)
    return replace(request, n=n, top=n, search=False) if request.search else None


def warm_up(composer: Composer) -> None:
    """Load the models and compose for a moment, so that the first request does not wait for it."""
    request = ComposeRequest(str(composer.folder), n=1, top=1, quarters=16, search=False)
    for _ in compose_candidates(composer, request):
        pass


def _candidates(models, samples, scores, title, flat):
    """Return samples with their scores and descriptions."""
    pieces = [sample.composed() for sample in samples]
    scorable = [i for i, row in enumerate(scores) if row]
    scorable_pieces = [pieces[i] for i in scorable]
    window_log_odds, composer_log_probs = {}, {}
    if scorable:
        window_log_odds = dict(zip(scorable, models.critic.window_log_odds(scorable_pieces)))
        composer_log_probs = dict(zip(scorable, models.composer_classifier.log_probs(scorable_pieces)))
    candidates = []
    for i, (sample, row) in enumerate(zip(samples, scores)):
        run = models.note_index.longest_run(pieces[i])
        piece = Piece(
            sample.notes,
            title,
            sample.prompt_quarters,
            [round(float(log_odds), 3) for log_odds in window_log_odds.get(i, [])],
            models.critic.window_quarters,
            sample.plan,
            sample.seed,
            flat,
            sample.played_prompt,
        )
        candidate = Candidate(
            piece,
            row.get("total"),
            {name: score for name, score in row.items() if name != "total"} | {"longest_copied_run": run.n_notes},
            *describe_scores(row.get("critic"), composer_log_probs.get(i), models.composer_classifier.classes, run),
            " ".join(sample.tokens[sample.prompt_tokens :]),
            sample.seed,
        )
        candidates.append(candidate)
    return candidates


def _batch_sizes(n):
    """Return the sizes of batches that sum to n, a small one first."""
    first = min(n, FIRST_BATCH_SIZE)
    return [first, *(min(BATCH_SIZE, n - done) for done in range(first, n, BATCH_SIZE))]


def describe_scores(
    log_odds: float | None, composer_log_probs: np.ndarray | None, composers: Sequence[str], run: CopiedRun
) -> tuple[list[str], list[str]]:
    """Describe the scores of a piece in plain words.

    Parameters
    ----------
    log_odds : float, optional
        The critic's log-odds that a human wrote the piece.
    composer_log_probs : float array (n_composers,), optional
    composers : sequence of str
    run : CopiedRun
        The longest run of notes that also occurs in the training music.

    Returns
    -------
    verdicts, details : list of str
        What a listener wants to know, and the figures behind it.
    """
    if log_odds is None:
        return ["Too short or too silent to be judged"], []
    probability = 1 / (1 + np.exp(-np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)))
    verdicts = [f"Sounds human: {_likelihood_word(probability)}"]
    details = [f"The critic's probability that a human wrote it: {100 * probability:.0f} %."]
    if composer_log_probs is not None:
        most_likely = [int(i) for i in np.argsort(-composer_log_probs)[:N_NAMED_COMPOSERS]]
        names = [composers[i].capitalize() for i in most_likely]
        shares = np.exp(composer_log_probs[most_likely])
        is_sure = shares[0] >= MIN_SURE_SHARE
        verdicts.append(f"Reminds of {names[0]}" if is_sure else f"Reminds a little of {' and '.join(names)}")
        shown = [f"{name} ({100 * share:.0f} %)" for name, share in zip(names, shares)]
        details.append(f"Most like {', then '.join(shown)}.")
    if run.n_notes >= MIN_REPORTED_RUN and run.source:
        source = readable_name(run.source)
        verdicts.append(f"{run.n_notes} notes in a row as in {source}")
        details.append(f"{run.n_notes} notes in a row also occur in the training music: {source} (file {run.source}).")
    else:
        details.append("No long run of its notes occurs in the training music.")
    return verdicts, details


def _likelihood_word(probability):
    """Return a probability as a word."""
    return next(word for least, word in LIKELIHOOD_WORDS if probability >= least)


def notes_payload(notes: NoteSequence, plan: Plan | None = None) -> dict:
    """Return notes as the page draws them.

    Rows of [start, duration, pitch, part] in quarter notes, where bars begin, the time signatures, the form (that of
    the plan, if there is one), and the length.
    """
    strip = FormStrip.from_notes(notes, plan)
    steps = notes.steps_per_quarter
    lines = bar_lines(notes.time_signatures, steps, notes.n_steps)
    rows = np.stack([notes.start / steps, notes.duration / steps, notes.pitch, notes.part], 1)
    return {
        "notes": rows.round(4).tolist(),
        "bars": [round(float(line) / steps, 4) for line in lines if line >= 0],
        "time_signatures": describe_time_signatures(notes.time_signatures),
        "form": strip and strip.to_dict(),
        "quarters": notes.quarters,
        "seconds": round(notes.seconds, 1),
        "qpm": notes.qpm,
    }
