"""Change some bars of a piece: compose them again, vary them, or keep them and compose the rest."""

from collections.abc import Iterator
from dataclasses import replace
from threading import Event

from clara.generation.generator import Generator
from clara.generation.sample import Sample
from clara.music.bars import bar_lines
from clara.music.notes import NoteSequence
from clara_app.composer import PreparedRequest

AGAIN, VARY, KEEP = "again", "vary", "keep"
CHANGES = (AGAIN, VARY, KEEP)
N_FILLINGS = 64  # to choose the likeliest from
N_VARIED_FILLINGS = 12  # of half a bar; a passage has many of them
MAX_VARIED_BARS = 4  # of a passage, so that it is soon there; of a longer one, every second or third bar changes
SEED_DISTANCE = 1009  # between the passages of an alternative, so that none gets the seeds of another


def change_bars(
    generator: Generator, prepared: PreparedRequest, change: str, threads: int = 1, stop: Event | None = None
) -> Iterator[Sample]:
    """Yield alternatives to a piece whose bars are changed, as whole pieces.

    Parameters
    ----------
    generator : Generator
    prepared : PreparedRequest
        The prompt is the piece, and `fill` of the request the bars that are meant.
    change : str
        "again" composes these bars new; "vary" changes their second halves; "keep" composes all the others new.
    threads : int
    stop : threading.Event, optional
        Ends the work after the alternative that is being composed.
    """
    passages = Passages(generator, prepared, threads)
    piece, n = prepared.prompt, prepared.request.n
    assert piece is not None and prepared.request.fill, "there are bars to change"
    begin, end = prepared.request.fill
    if change == AGAIN:
        yield from passages.compose(piece, begin, end, n, N_FILLINGS)
        return
    before = passages.compose(piece, 0.0, begin, n, N_FILLINGS) if change == KEEP and begin else [None] * n
    gaps = _half_bars(piece, begin, end) if change == VARY else [(end, piece.quarters)]
    for number, sample in enumerate(before):
        for place, (first, last) in enumerate(gaps):
            if stop and stop.is_set():
                return
            if first < last:
                notes = sample.notes if sample else piece
                seed = SEED_DISTANCE * (number * len(gaps) + place + 1)
                [sample] = passages.compose(notes, first, last, 1, N_VARIED_FILLINGS, seed)
        if sample is not None:
            yield replace(sample, seed=prepared.request.seed + number)


class Passages:
    """Composes passages of pieces with the settings of a request."""

    def __init__(self, generator: Generator, prepared: PreparedRequest, threads: int) -> None:
        self.generator = generator
        self.prepared = prepared
        self.threads = threads

    def compose(
        self, piece: NoteSequence, begin: float, end: float, n: int, n_fillings: int, more_seed: int = 0
    ) -> list[Sample]:
        """Return n whole pieces with another passage between two places in quarter notes."""
        request = self.prepared.request
        options = {
            "settings": request.settings,
            "seed": request.seed + more_seed,
            "constraints": self.prepared.constraints,
            "threads": self.threads,
        }
        if end < piece.quarters:
            fillings = self.generator.fill(piece, begin, end, n=max(n, n_fillings), **options)
            return [sample for sample, _ in fillings[:n]]
        prompt = {"prompt": piece, "prompt_quarters": begin} if begin else {"time_signature": _first_signature(piece)}
        samples = self.generator.generate(n, end - begin, **prompt, ending=request.ending, qpm=piece.qpm, **options)
        return [replace(sample, prompt_quarters=0.0) for sample in samples]  # all of it is judged


def _first_signature(piece):
    _, *signature = piece.time_signatures[0]
    return tuple(signature)


def _half_bars(piece, begin, end):
    """Return the second half of each bar between two places, in quarter notes."""
    steps = piece.steps_per_quarter
    lines = [float(line) / steps for line in bar_lines(piece.time_signatures, steps, piece.n_steps)]
    bars = zip(lines, [*lines[1:], max(piece.quarters, lines[-1])])
    halves = [((first + last) / 2, last) for first, last in bars if first >= begin - 1e-6 and last <= end + 1e-6]
    grid = [(round(first * steps) / steps, round(last * steps) / steps) for first, last in halves]
    return [(first, last) for first, last in grid if first < last][:: -(-len(grid) // MAX_VARIED_BARS) or 1]
