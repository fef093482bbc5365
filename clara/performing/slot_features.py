"""Numbers that describe each sixteenth of a score, for the pedal."""

import numpy as np

from clara.music.notes import NoteSequence
from clara.performing.beats import Beats, cosine, log_length

SLOTS_PER_QUARTER = 4  # the pedal is described once every sixteenth
HARMONY_SLOTS = 4  # before and after a slot, whose harmonies are compared
MAX_SINCE = 8.0  # quarters

SLOT_FEATURES = (
    "onsets",
    "onsets_after",
    "has_onset",
    "is_bass",
    "bottom",
    "bottom_in_beat",
    "sounding",
    "sounding_bottom",
    "is_silent",
    "harmony_change",
    "harmony_before",
    "since_onset",
    "since_bass",
    "to_onset",
    "place_in_beat",
    "on_beat",
    "on_downbeat",
    "place_in_bar",
    "seconds",
    "mean_length",
)


def slot_places(beats: Beats) -> np.ndarray:
    """Return where sixteenths begin from step 0 to the end of the last beat, float64 array (n_slots,), in quarters."""
    return np.arange(max(1, int(np.ceil(beats.begin[-1] * SLOTS_PER_QUARTER - 1e-6)))) / SLOTS_PER_QUARTER


def describe_slots(notes: NoteSequence, beats: Beats) -> np.ndarray:
    """Return the features of each sixteenth, float32 array (n_slots, n_features); see `SLOT_FEATURES`."""
    places = slot_places(beats)
    n = len(places)
    start, end = notes.start / notes.steps_per_quarter, notes.end / notes.steps_per_quarter
    slot = np.minimum((start * SLOTS_PER_QUARTER + 1e-6).astype(np.int64), n - 1)
    n_onsets = np.bincount(slot, minlength=n)
    bottom = np.full(n, 128)
    np.minimum.at(bottom, slot, notes.pitch)
    beat = beats.find(places)
    beat_bottom = np.full(len(beats), 128)
    np.minimum.at(beat_bottom, beat[slot], notes.pitch)
    has_onset = n_onsets > 0
    is_bass = has_onset & (bottom <= beat_bottom[beat])
    at = np.arange(n)
    profile = np.bincount(slot * 12 + notes.pitch % 12, np.minimum(end - start, 2.0), minlength=12 * n).reshape(-1, 12)
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(profile, axis=0)])
    later = total[np.minimum(at + HARMONY_SLOTS, n)] - total[at]
    earlier = total[at] - total[np.maximum(at - HARMONY_SLOTS, 0)]
    n_sounding, sounding_bottom = _sounding(notes, places)
    length = np.bincount(slot, log_length(end - start), minlength=n) / np.maximum(n_onsets, 1)
    in_beat = (places - beats.begin[beat]) / np.maximum(np.diff(beats.begin)[beat], 1e-6)
    features = {
        "onsets": np.log2(1 + n_onsets),
        "onsets_after": np.log2(1 + np.append(n_onsets[1:], 0)),
        "has_onset": has_onset,
        "is_bass": is_bass,
        "bottom": np.where(has_onset, (bottom - 60) / 24, 0),
        "bottom_in_beat": np.where(has_onset, (bottom - beat_bottom[beat]) / 12, 0),
        "sounding": np.log2(1 + n_sounding),
        "sounding_bottom": np.where(n_sounding > 0, (sounding_bottom - 60) / 24, 0),
        "is_silent": n_sounding == 0,
        "harmony_change": 1 - cosine(later, earlier),
        "harmony_before": 1 - cosine(profile, earlier),
        "since_onset": _since(has_onset),
        "since_bass": _since(is_bass),
        "to_onset": _since(has_onset[::-1])[::-1],
        "place_in_beat": in_beat,
        "on_beat": np.abs(in_beat) < 0.01,
        "on_downbeat": (np.abs(in_beat) < 0.01) & (beats.place[beat] == 0),
        "place_in_bar": (beats.place[beat] + in_beat) / beats.n_in_bar[beat],
        "seconds": np.full(n, np.log2(np.clip(60 / notes.qpm / SLOTS_PER_QUARTER, 0.01, 4))),
        "mean_length": length,
    }
    return np.stack([np.asarray(features[name], dtype=np.float32) for name in SLOT_FEATURES], axis=1)


def _sounding(notes, places):
    """Return how many notes sound just after each place, and the lowest of them (128: none)."""
    start, end = notes.start / notes.steps_per_quarter, notes.end / notes.steps_per_quarter
    first = np.searchsorted(places, start - 1e-6)
    stop = np.searchsorted(places, end - 1e-6)
    n_held = np.clip(stop - first, 0, 64 * SLOTS_PER_QUARTER)
    held = np.repeat(np.arange(len(notes)), n_held)
    at = np.arange(len(held)) - np.repeat(np.cumsum(n_held) - n_held, n_held) + first[held]
    lowest = np.full(len(places), 128)
    np.minimum.at(lowest, at, notes.pitch[held])
    return np.bincount(at, minlength=len(places)), lowest


def _since(happens):
    """Return how long ago something happened last, at most `MAX_SINCE`, in quarters."""
    at = np.arange(len(happens))
    latest = np.maximum.accumulate(np.where(happens, at, -(10**9)))
    return np.minimum((at - latest) / SLOTS_PER_QUARTER, MAX_SINCE)
