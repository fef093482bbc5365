"""What a model that follows plans reads beside each token: numbers of categories, in columns.

The columns say where in the bar and in the piece the next token stands, what the plan says of this bar, which token the
plan, a repeat of the text and repeats of its outer voices offer next, and how far that can be trusted. -1 means
unknown.
"""

from collections.abc import Sequence

import numpy as np

from clara.encodings.base import Encoding
from clara.encodings.vocab import Vocab
from clara.form.follower import BAR, FOLLOWED, NONE, OFFER, ONSET_NOW, ONSET_WAIT, PLACE, PlanFollower, TokenEvents
from clara.form.plan import MAX_DENSITY, MAX_TEXTURE, N_KEYS, N_PITCHES, RELATIONS, UNKNOWN, Plan, transpose_keys
from clara.jit import compiled, int64, int64_1d, int64_2d, int64_2d_readonly, int64_3d_readonly
from clara.models.context import N_CANDIDATES
from clara.repeats.candidates import MIN_NOTES, MIN_TOKENS
from clara.repeats.finder import LENGTH, TOKEN, TRANSPOSED, RepeatFinder, TranspositionTable, find_repeats
from clara.repeats.outer_voices import IS_WAIT, find_voice_repeats

MAX_PLACE_QUARTERS = 8  # in a bar; later places count as this one
BAR_LIMITS = (*range(1, 16), 20, 24, 32, 48, 64)  # of the number of bars before and after this one
FOLLOWED_LIMITS = (1, 2, 3, 5, 9, 17)
MAX_PHRASE_BARS = 8
N_REPEAT_BINS = 2 * len(MIN_TOKENS)
N_VOICE_BINS = 4 * len(MIN_NOTES)

# First come the candidates: of the plan, of repeats of tokens, of the highest and of the lowest voice. As many columns
# after them say what is known of each.
PLAN_TRUST = N_CANDIDATES  # of the plan's candidate: the relation of the bar, and how far it was followed
KEY, CHORD, REGISTER, DENSITY, TEXTURE, PHRASE = ATTRIBUTES = range(8, 14)  # of the bar; plans may leave them open
PLACE_COLUMN, BAR_LENGTH, BARS_BEFORE, BARS_LEFT, ONSET_COLUMN = range(14, 19)
N_COLUMNS = 19
_FOLLOWED_LIMITS, _MIN_TOKENS, _MIN_NOTES = map(np.array, (FOLLOWED_LIMITS, MIN_TOKENS, MIN_NOTES))
PLAN_COLUMNS = (0, PLAN_TRUST, *ATTRIBUTES, BARS_LEFT, ONSET_COLUMN)  # what only a plan says


class ContextLayout:
    """The columns of the context, how they are transposed, and their rows in the table of a model.

    Parameters
    ----------
    vocab : Vocab
    encoding : Encoding
        With tokens for single notes.

    Attributes
    ----------
    sizes : tuple of int
        Number of categories of each column.
    n_rows : int
        Rows of the table of a model: one that means unknown, then one for each category of each column.
    """

    def __init__(self, vocab: Vocab, encoding: Encoding):
        self.max_place = MAX_PLACE_QUARTERS * encoding.steps_per_quarter
        n_places, n_bar_bins = self.max_place + 1, len(BAR_LIMITS) + 1
        self.sizes = (
            *(len(vocab) for _ in range(N_CANDIDATES)),
            len(RELATIONS) * (len(FOLLOWED_LIMITS) + 1),
            N_REPEAT_BINS,
            N_VOICE_BINS,
            N_VOICE_BINS,
            N_KEYS,
            N_KEYS,
            N_PITCHES,
            MAX_DENSITY + 1,
            MAX_TEXTURE + 1,
            MAX_PHRASE_BARS,
            n_places,
            n_places,
            n_bar_bins,
            n_bar_bins,
            2 * n_places,
        )
        self._offsets = 1 + np.cumsum((0, *self.sizes[:-1]))
        self.n_rows = 1 + sum(self.sizes)
        assert len(self.sizes) == N_COLUMNS

    def rows_of(self, column: int) -> slice:
        """Return the rows of the categories of a column."""
        first = int(self._offsets[column])
        return slice(first, first + self.sizes[column])

    def to_rows(self, context: np.ndarray) -> np.ndarray:
        """Return the rows (n, N_COLUMNS) of categories (n, N_COLUMNS); 0 for what is unknown."""
        return np.where(context < 0, 0, context + self._offsets)

    @staticmethod
    def transpose(context: np.ndarray, semitones: int, token_table: np.ndarray) -> np.ndarray:
        """Return the context of the same music in another key.

        Parameters
        ----------
        context : int array (n, N_COLUMNS)
        semitones : int
        token_table : int array (vocab_sz,)
            The transposed id of each token; below 0 for tokens that leave the range.
        """
        moved = context.copy()
        keys = transpose_keys(np.arange(N_KEYS), semitones)
        pitches = np.clip(np.arange(N_PITCHES) + semitones, 0, N_PITCHES - 1)
        tables = {column: token_table for column in range(N_CANDIDATES)} | {KEY: keys, CHORD: keys, REGISTER: pitches}
        for column, table in tables.items():
            with_unknown = np.append(np.maximum(table, UNKNOWN), UNKNOWN)  # index -1
            moved[:, column] = with_unknown[context[:, column]]
        for column in range(1, N_CANDIDATES):  # a repeat that names no token says nothing of its length either
            trust = N_CANDIDATES + column
            moved[:, trust] = np.where(moved[:, column] == UNKNOWN, UNKNOWN, context[:, trust])
        return moved


class ContextReader:
    """Reads the context of texts of one vocabulary.

    Parameters
    ----------
    vocab : Vocab
    encoding : Encoding
        With tokens for single notes.
    """

    def __init__(self, vocab: Vocab, encoding: Encoding):
        self.layout = ContextLayout(vocab, encoding)
        self.table = TranspositionTable(vocab, encoding)
        assert self.table.voices, "plans are for encodings with tokens for single notes"
        self.voices = self.table.voices
        self.events = TokenEvents.from_voice_tokens(self.voices)

    def read(self, ids: np.ndarray, plan: Plan) -> np.ndarray:
        """Return the context after each token of a text, int64 (m, N_COLUMNS).

        Parameters
        ----------
        ids : int array (m,)
            From xxbos.
        plan : Plan
            Of the whole piece.
        """
        reports = PlanFollower(self.events, [plan]).append_many(np.asarray(ids)[None])[0]
        voices = find_voice_repeats(self.voices, ids)
        return self._combine(self._describe_bars(plan)[reports[:, BAR]], reports, find_repeats(self.table, ids), voices)

    def add_to(self, ids: np.ndarray, plan: Plan) -> np.ndarray:
        """Return the tokens of a text each followed by its context, as a model reads them, int64 (m, 1 + N_COLUMNS).

        Parameters
        ----------
        ids, plan
            As of `read`.
        """
        rows = self.layout.to_rows(self.read(ids, plan))
        return np.concatenate([np.asarray(ids, dtype=np.int64)[:, None], rows], axis=1)

    @staticmethod
    def unknown(n: int) -> np.ndarray:
        """Return the context of n tokens of which nothing is known, int16 (n, N_COLUMNS)."""
        return np.full((n, N_COLUMNS), UNKNOWN, dtype=np.int16)

    def _combine(self, of_bars, reports, repeats, voice_repeats):
        """Return the context (m, N_COLUMNS) from what is known of its bars, from `PlanFollower` and of repeats."""
        context = of_bars.copy()
        limits = (_FOLLOWED_LIMITS, _MIN_TOKENS, _MIN_NOTES)
        _fill_context(context, reports, repeats, voice_repeats, *limits, self.layout.max_place)
        return context

    def _describe_bars(self, plan):
        """Return the columns that hold for whole bars, int64 (n_bars, N_COLUMNS); relations in the first trust column.

        Other columns are 0.
        """
        n = len(plan)
        bars = np.zeros((n, N_COLUMNS), dtype=np.int64)
        bars[:, PLAN_TRUST] = plan.relation
        starts = np.where(plan.phrase == 1, np.arange(n), 0)
        since_phrase = np.minimum(np.arange(n) - np.maximum.accumulate(starts), MAX_PHRASE_BARS - 1)
        attributes = (plan.key, plan.chord, plan.register, plan.density, plan.texture)
        bars[:, KEY:PHRASE] = np.stack(attributes, axis=1)
        bars[:, PHRASE] = np.where(plan.phrase == UNKNOWN, UNKNOWN, since_phrase)
        bars[:, BAR_LENGTH] = np.minimum(np.diff(plan.begin), self.layout.max_place)
        bars[:, BARS_BEFORE] = np.searchsorted(BAR_LIMITS, np.arange(n), "right")
        bars[:, BARS_LEFT] = np.searchsorted(BAR_LIMITS, np.arange(n)[::-1], "right")
        return bars


class ContextTracker:
    """The context of texts that are written side by side, token by token.

    Parameters
    ----------
    reader : ContextReader
    pasts : list of int arrays
        Token ids of the texts so far, xxbos first.
    rows : int64 array (n,)
        For each of the n texts to write, which of `pasts` it continues.
    plans : sequence of n Plans
        The plan of each of the n texts.

    Attributes
    ----------
    context : int64 array (n, N_COLUMNS)
        After the newest token of each text.
    """

    def __init__(self, reader: ContextReader, pasts: list[np.ndarray], rows: np.ndarray, plans: Sequence[Plan]):
        self.reader = reader
        self.repeats = RepeatFinder(reader.table, pasts, rows)
        self.follower = PlanFollower(reader.events, plans)
        for row, past in enumerate(rows):
            self.follower.catch_up(row, pasts[past])
        tables = [reader._describe_bars(plan) for plan in plans]
        n_bars = max(map(len, tables))
        self.bars = np.stack([np.pad(table, ((0, n_bars - len(table)), (0, 0)), mode="edge") for table in tables])
        self._update()

    def append(self, ids: np.ndarray) -> None:
        """Append one token to each text: int64 array (n,)."""
        self.repeats.append(ids)
        self.follower.append(ids)
        self._update()

    def rows(self) -> np.ndarray:
        """Return the rows of a model's table for the newest token of each text, int64 (n, N_COLUMNS)."""
        return self.reader.layout.to_rows(self.context)

    def take(self, rows: np.ndarray) -> None:
        """Keep only the texts `rows`, an int64 array that may name a text more than once."""
        self.repeats.take(rows)
        self.follower.take(rows)
        self.bars = self.bars[rows]
        self.context = self.context[rows]

    def _update(self):
        reports = self.follower.reports
        of_bars = self.bars[np.arange(len(reports)), reports[:, BAR]]
        voices = self.repeats.voices.repeats
        self.context = self.reader._combine(of_bars, reports, self.repeats.repeats, voices)


@compiled(int64_2d, int64_2d_readonly, int64_2d_readonly, int64_3d_readonly, int64_1d, int64_1d, int64_1d, int64)
def _fill_context(context, reports, repeats, voice_repeats, followed_limits, min_tokens, min_notes, max_place):
    """Write all columns of the context (m, N_COLUMNS) but those that hold for whole bars, which it has already.

    Parameters
    ----------
    reports : int64 (m, N_REPORTS)
        From `PlanFollower`.
    repeats, voice_repeats : int64 (m, 4), int64 (m, N_VOICES, 4)
        As in `find_repeats` and `find_voice_repeats`.
    followed_limits, min_tokens, min_notes : int64 (n,)
        Shortest lengths of the bins of a trust.
    """
    for row in range(len(context)):
        columns, report = context[row], reports[row]
        columns[0] = report[OFFER]
        relation = columns[N_CANDIDATES]
        follow_bin = np.searchsorted(followed_limits, report[FOLLOWED], "right")
        if relation != UNKNOWN:
            columns[N_CANDIDATES] = relation * (len(followed_limits) + 1) + follow_bin
        for kind in range(1, N_CANDIDATES):
            repeat = repeats[row] if kind == 1 else voice_repeats[row, kind - 2]
            limits = min_tokens if kind == 1 else min_notes
            group = repeat[TRANSPOSED] if kind == 1 else 2 * repeat[IS_WAIT] + repeat[TRANSPOSED]
            length_bin = np.searchsorted(limits, repeat[LENGTH], "right") - 1
            has_candidate = repeat[TOKEN] >= 0 and length_bin >= 0
            columns[kind] = repeat[TOKEN] if has_candidate else UNKNOWN
            columns[N_CANDIDATES + kind] = group * len(limits) + length_bin if has_candidate else UNKNOWN
        columns[PLACE_COLUMN] = min(report[PLACE], max_place)
        columns[ONSET_COLUMN] = UNKNOWN
        if report[ONSET_WAIT] != NONE:
            columns[ONSET_COLUMN] = min(report[ONSET_WAIT], max_place) + (max_place + 1) * report[ONSET_NOW]
