"""The beats of a score, and numbers that describe each of them."""

from dataclasses import dataclass

import numpy as np

from clara.form.extraction import extract_plan
from clara.form.plan import EXACT, MAX_BARS, NEW, VARIED, Plan
from clara.music.bars import bar_lines
from clara.music.notes import NoteSequence

MAX_PHRASE_BARS = 8  # a bar farther from a phrase's start or end is described as this far
MIN_LENGTH = 1 / 64  # quarters; shorter durations count as this long
MAX_LENGTH = 64.0

BEAT_FEATURES = (
    "onsets",
    "notes",
    "notes_per_second",
    "has_onset",
    "rest_share",
    "mean_pitch",
    "top_pitch",
    "bottom_pitch",
    "top_step",
    "top_next_step",
    "bottom_step",
    "span",
    "mean_length",
    "longest",
    "top_length",
    "harmony_change",
    "bar_novelty",
    "downbeat",
    "place_in_bar",
    "beats_in_bar",
    "beat_quarters",
    "beat_seconds",
    "tempo",
    "progress",
    "bars_from_start",
    "bars_to_end",
    "last_beats",
    "phrase_start",
    "bars_in_phrase",
    "bars_to_phrase",
    "exact",
    "varied",
    "new",
    "minor",
    "home_key",
    "key_change",
)


@dataclass(frozen=True, eq=False)
class Beats:
    """Where the beats of a score are.

    Attributes
    ----------
    begin : float64 array (n + 1,)
        Of each beat, and the end of the last one, in quarters.
    bar : int64 array (n,)
        Bar that each beat is in, from 0.
    place : int64 array (n,)
        Number of the beat in its bar, from 0.
    n_in_bar : int64 array (n,)
        Number of beats in its bar.
    """

    begin: np.ndarray
    bar: np.ndarray
    place: np.ndarray
    n_in_bar: np.ndarray

    def __len__(self) -> int:
        return len(self.bar)

    def find(self, quarters: np.ndarray) -> np.ndarray:
        """Return the beat in which each place lies, int64 array as `quarters`."""
        return np.clip(np.searchsorted(self.begin, quarters + 1e-6, side="right") - 1, 0, len(self) - 1)


def find_beats(notes: NoteSequence) -> Beats:
    """Return the beats of a score, by its time signatures.

    In compound time (6/8, 9/8, 12/8 and the like) a beat is a group of three. An upbeat has the last beats of its bar.

    Parameters
    ----------
    notes : NoteSequence, not empty
    """
    steps_per_quarter, n_steps = notes.steps_per_quarter, notes.n_steps
    lines = np.array([float(line) for line in bar_lines(notes.time_signatures, steps_per_quarter, n_steps)])
    lines = lines / steps_per_quarter
    changes = np.array([step for step, _, _ in notes.time_signatures]) / steps_per_quarter
    signature = np.maximum(np.searchsorted(changes, lines + 1e-9, side="right") - 1, 0)
    numerator, denominator = np.array(notes.time_signatures)[signature, 1:].T
    beat_quarters = np.where(is_compound(numerator, denominator), 12.0, 4.0) / denominator
    full = lines + 4 * numerator / denominator
    ends = np.append(np.minimum(lines[1:], full[:-1]), full[-1])
    n_beats = np.maximum(1, np.ceil((ends - lines) / beat_quarters - 1e-6)).astype(np.int64)
    bar = np.repeat(np.arange(len(lines)), n_beats)
    place = np.arange(len(bar)) - np.repeat(np.cumsum(n_beats) - n_beats, n_beats)
    begin = lines[bar] + place * beat_quarters[bar]
    sounds = (np.append(begin[1:], ends[-1]) > 1e-6) & (begin < notes.quarters - 1e-6)
    begin = np.maximum(begin[sounds], 0.0)
    end = min(ends[-1], begin[-1] + beat_quarters[bar[sounds][-1]])
    return Beats(np.append(begin, end), bar[sounds], place[sounds], n_beats[bar[sounds]])


def is_compound(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return whether beats are groups of three, bool array as the two numbers of time signatures."""
    return (numerator > 3) & (numerator % 3 == 0) & (denominator >= 8)


def log_length(quarters: np.ndarray) -> np.ndarray:
    """Return durations on a logarithmic scale: 0 is a quarter note, 1 a half note."""
    return np.log2(np.clip(quarters, MIN_LENGTH, MAX_LENGTH))


def describe_beats(notes: NoteSequence, beats: Beats) -> np.ndarray:
    """Return the features of each beat, float32 array (n_beats, n_features); see `BEAT_FEATURES`."""
    start, length = notes.start / notes.steps_per_quarter, notes.duration / notes.steps_per_quarter
    beat = beats.find(start)
    n = len(beats)
    features = {}
    n_notes = np.bincount(beat, minlength=n)
    onset_beat = beat[np.append(True, np.diff(notes.start) > 0)]
    n_onsets = np.bincount(onset_beat, minlength=n)
    quarters = np.diff(beats.begin)
    features["onsets"] = np.log2(1 + n_onsets)
    features["notes"] = np.log2(1 + n_notes)
    features["notes_per_second"] = np.log2(1 + n_onsets / np.maximum(quarters, MIN_LENGTH) * notes.qpm / 60)
    at_begin = np.abs(start - beats.begin[beat]) < 1e-6
    features["has_onset"] = np.bincount(beat[at_begin], minlength=n) > 0
    features["rest_share"] = _rest_shares(notes, beats)

    mean = _carry(np.bincount(beat, notes.pitch, minlength=n) / np.maximum(n_notes, 1), n_notes > 0)
    top, bottom = np.full(n, -1), np.full(n, 128)
    np.maximum.at(top, beat, notes.pitch)
    np.minimum.at(bottom, beat, notes.pitch)
    top, bottom = _carry(top, n_notes > 0), _carry(bottom, n_notes > 0)
    features["mean_pitch"] = (mean - 60) / 12
    features["top_pitch"] = (top - 60) / 12
    features["bottom_pitch"] = (bottom - 60) / 12
    features["top_step"] = np.diff(top, prepend=top[0]) / 12
    features["top_next_step"] = np.diff(top, append=top[-1]) / 12
    features["bottom_step"] = np.diff(bottom, prepend=bottom[0]) / 12
    features["span"] = (top - bottom) / 12

    lengths = log_length(length)
    features["mean_length"] = np.bincount(beat, lengths, minlength=n) / np.maximum(n_notes, 1)
    longest, top_length = np.full(n, -4.0), np.full(n, -4.0)
    np.maximum.at(longest, beat, lengths)
    is_top = notes.pitch == top[beat]
    np.maximum.at(top_length, beat[is_top], lengths[is_top])
    features["longest"], features["top_length"] = longest, top_length

    profile = pitch_class_profile(notes, beats)
    features["harmony_change"] = np.append(0, 1 - cosine(profile[1:], profile[:-1]))
    features["bar_novelty"] = _novelty(profile, 4)
    features["downbeat"] = beats.place == 0
    features["place_in_bar"] = beats.place / beats.n_in_bar
    features["beats_in_bar"] = np.log2(beats.n_in_bar)
    features["beat_quarters"] = log_length(quarters)
    features["beat_seconds"] = np.log2(np.clip(quarters * 60 / notes.qpm, 0.01, 10))
    features["tempo"] = np.full(n, np.log2(np.clip(notes.qpm, 10, 1000) / 100))
    features["progress"] = np.arange(n) / n
    bars_from_start = (np.arange(n) + 1) / np.maximum(beats.n_in_bar, 1)
    features["bars_from_start"] = np.log2(bars_from_start)
    features["bars_to_end"] = np.log2((n - np.arange(n)) / np.maximum(beats.n_in_bar, 1))
    features["last_beats"] = np.maximum(0, 1 - (n - 1 - np.arange(n)) / 8)
    features |= _describe_form(notes, beats)
    return np.stack([np.asarray(features[name], dtype=np.float32) for name in BEAT_FEATURES], axis=1)


def pitch_class_profile(notes: NoteSequence, beats: Beats) -> np.ndarray:
    """Return how long each pitch class that begins in a beat sounds, float64 array (n_beats, 12), in quarters."""
    beat = beats.find(notes.start / notes.steps_per_quarter)
    weights = np.minimum(notes.duration / notes.steps_per_quarter, 4.0)
    counts = np.bincount(beat * 12 + notes.pitch % 12, weights, minlength=12 * len(beats))
    return counts.reshape(-1, 12)


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine between rows, float64 array (n,); 1 where a row is zero."""
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.where(norms > 0, (first * second).sum(1) / np.maximum(norms, 1e-9), 1.0)


def moving_sum(values: np.ndarray, before: int, after: int) -> np.ndarray:
    """Return the sum of rows i - before to i + after, float64 array as `values` (n, m)."""
    total = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    at = np.arange(len(values))
    return total[np.clip(at + after + 1, 0, len(values))] - total[np.clip(at - before, 0, len(values))]


def _novelty(profile, beats):
    """Return how much the harmony of the next beats differs from that of the beats before."""
    return 1 - cosine(moving_sum(profile, 0, beats - 1), moving_sum(profile, beats, -1))


def _carry(values, is_known):
    """Return values in which unknown ones are that of the last known beat, or of the first."""
    last = np.maximum.accumulate(np.where(is_known, np.arange(len(values)), -1))
    return values[np.where(last >= 0, last, np.argmax(is_known))]


def _rest_shares(notes, beats):
    """Return the share of each beat in which nothing sounds."""
    start, end = notes.start, np.maximum.accumulate(notes.end)
    is_rest = start[1:] > end[:-1]
    edges = np.stack([end[:-1][is_rest], start[1:][is_rest]], axis=1).ravel() / notes.steps_per_quarter
    edges = np.concatenate([[0.0, start[0] / notes.steps_per_quarter], edges, [notes.quarters, beats.begin[-1] + 1]])
    silence = np.zeros(len(edges))
    silence[1::2] = np.cumsum(edges[1::2] - edges[::2])
    silence[2::2] = silence[1:-1:2]
    quarters = np.maximum(np.diff(beats.begin), MIN_LENGTH)
    return np.clip(np.diff(np.interp(beats.begin, edges, silence)) / quarters, 0, 1)


def _describe_form(notes, beats):
    """Return phrase, return and key features; all 0 in pieces of more than `MAX_BARS` bars."""
    names = BEAT_FEATURES[BEAT_FEATURES.index("phrase_start") :]
    if beats.bar[-1] >= MAX_BARS:
        return dict.fromkeys(names, np.zeros(len(beats)))
    plan = extract_plan(notes)
    bar = np.clip(np.searchsorted(plan.begin / notes.steps_per_quarter, beats.begin[:-1] + 1e-6, "right") - 1, 0, None)
    bar = np.minimum(bar, len(plan) - 1)
    values = _describe_bars(plan)
    values["phrase_start"] = values["phrase_start"][bar] * (beats.place == 0)
    return {name: values[name] if name == "phrase_start" else values[name][bar] for name in names}


def _describe_bars(plan: Plan) -> dict[str, np.ndarray]:
    """Return phrase, return and key features of each bar."""
    n = len(plan)
    starts = np.flatnonzero(plan.phrase == 1)
    starts = starts if len(starts) else np.array([0])
    at = np.arange(n)
    latest = np.maximum(np.searchsorted(starts, at, side="right") - 1, 0)
    following = np.append(starts, n)[np.searchsorted(starts, at, side="right")]
    return {
        "phrase_start": plan.phrase == 1,
        "bars_in_phrase": np.clip(at - starts[latest], 0, MAX_PHRASE_BARS) / MAX_PHRASE_BARS,
        "bars_to_phrase": np.clip(following - at, 0, MAX_PHRASE_BARS) / MAX_PHRASE_BARS,
        "exact": plan.relation == EXACT,
        "varied": plan.relation == VARIED,
        "new": plan.relation == NEW,
        "minor": plan.key >= 12,
        "home_key": plan.key == plan.home,
        "key_change": np.diff(plan.key, prepend=plan.key[0]) != 0,
    }
