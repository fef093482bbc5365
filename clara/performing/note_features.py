"""Numbers that describe each note of a score: its place, length, voice and neighbours."""

import numpy as np

from clara.music.notes import NoteSequence
from clara.performing.beats import Beats, log_length, moving_sum, pitch_class_profile

MAX_ONSETS_HELD = 64  # a note counts as sounding over so many later onsets at most
KEY_BEATS = 4  # before and after, in which pitch classes are counted
MAX_GAP = 16.0  # quarters; longer gaps between notes count as this long

NOTE_FEATURES = (
    "pitch",
    "pitch_in_piece",
    "pitch_in_beats",
    "length",
    "gap_after",
    "gap_before",
    "articulation",
    "chord_size",
    "from_top",
    "from_bottom",
    "is_top",
    "is_bottom",
    "below_top",
    "above_bottom",
    "is_highest",
    "is_lowest",
    "below_highest",
    "above_lowest",
    "n_sounding",
    "voice_before",
    "voice_after",
    "voice_before_distance",
    "voice_after_distance",
    "top_step",
    "top_next_step",
    "top_second_step",
    "top_is_peak",
    "bottom_step",
    "bottom_next_step",
    "since_same_pitch",
    "length_in_chord",
    "ends_at_next_onset",
    "place_in_beat",
    "on_beat",
    "on_half_beat",
    "on_downbeat",
    "on_half_bar",
    "place_in_bar",
    "bar_sine",
    "bar_cosine",
    "pitch_class_share",
    "pitch_class_local_share",
    "to_next_beat",
)


def describe_notes(notes: NoteSequence, beats: Beats) -> np.ndarray:
    """Return the features of each note, float32 array (n_notes, n_features); see `NOTE_FEATURES`."""
    steps_per_quarter, n = notes.steps_per_quarter, len(notes)
    start, length = notes.start / steps_per_quarter, notes.duration / steps_per_quarter
    onsets, onset = np.unique(notes.start, return_inverse=True)
    order = np.lexsort((notes.pitch, onset))  # by onset and pitch, whatever the part
    first = np.searchsorted(onset[order], np.arange(len(onsets)))
    size = np.diff(np.append(first, n))
    from_bottom = np.empty(n, dtype=np.int64)
    from_bottom[order] = np.arange(n) - first[onset[order]]
    chord_size = size[onset]
    from_top = chord_size - 1 - from_bottom
    tops, bottoms = notes.pitch[order][first + size - 1], notes.pitch[order][first]
    beat = beats.find(start)
    features = {
        "pitch": (notes.pitch - 60) / 24,
        "pitch_in_piece": (notes.pitch - notes.pitch.mean()) / 12,
        "pitch_in_beats": (notes.pitch - _local_mean(notes.pitch, beat, len(beats))[beat]) / 12,
        "length": log_length(length),
    }
    gaps = np.minimum(np.diff(onsets, append=max(notes.n_steps, onsets[-1] + 1)) / steps_per_quarter, MAX_GAP)
    features["gap_after"] = log_length(gaps)[onset]
    features["gap_before"] = log_length(np.append(MAX_GAP, gaps[:-1]))[onset]
    features["articulation"] = np.clip(log_length(length) - log_length(gaps[onset]), -3, 5)
    features["chord_size"] = np.log2(chord_size)
    features["from_top"], features["from_bottom"] = np.minimum(from_top, 4) / 4, np.minimum(from_bottom, 4) / 4
    features["is_top"], features["is_bottom"] = from_top == 0, from_bottom == 0
    features["below_top"], features["above_bottom"] = (
        (tops[onset] - notes.pitch) / 12,
        (notes.pitch - bottoms[onset]) / 12,
    )
    features |= _describe_sounding(notes, onsets, onset)
    features |= _describe_voices(notes, onset, order)
    for name, line in (("top", tops), ("bottom", bottoms)):
        features[f"{name}_step"] = np.clip(np.diff(line, prepend=line[0]) / 12, -2, 2)[onset]
        features[f"{name}_next_step"] = np.clip(np.diff(line, append=line[-1]) / 12, -2, 2)[onset]
    padded = np.concatenate([tops[:1], tops[:1], tops])
    features["top_second_step"] = np.clip((tops - padded[:-2]) / 12, -2, 2)[onset]
    features["top_is_peak"] = ((features["top_step"] > 0) & (features["top_next_step"] < 0)) * features["is_top"]
    features["since_same_pitch"] = _since_same_pitch(notes)
    longest = np.full(len(onsets), -9.0)
    np.maximum.at(longest, onset, features["length"])
    features["length_in_chord"] = features["length"] - longest[onset]
    features["ends_at_next_onset"] = length <= gaps[onset] * 1.01
    features |= _describe_metre(start, beat, beats)
    features |= _describe_key(notes, beats, beat)
    to_next_beat = beats.begin[np.minimum(beat + 1, len(beats))] - start
    features["to_next_beat"] = log_length(to_next_beat)
    return np.stack([np.asarray(features[name], dtype=np.float32) for name in NOTE_FEATURES], axis=1)


def _local_mean(pitch, beat, n_beats):
    """Return the mean pitch of two beats before to two beats after each beat."""
    counts = np.stack([np.bincount(beat, minlength=n_beats), np.bincount(beat, pitch, minlength=n_beats)], axis=1)
    n, total = moving_sum(counts, 2, 2).T
    return np.where(n > 0, total / np.maximum(n, 1), pitch.mean())


def _describe_sounding(notes, onsets, onset):
    """Return where each note stands among the notes that sound with it."""
    stop = np.minimum(np.searchsorted(onsets, notes.end), onset + MAX_ONSETS_HELD)
    n_held = np.maximum(stop - onset, 1)
    held = np.repeat(np.arange(len(notes)), n_held)
    at = np.arange(len(held)) - np.repeat(np.cumsum(n_held) - n_held, n_held) + onset[held]
    highest, lowest = np.full(len(onsets), -1), np.full(len(onsets), 128)
    np.maximum.at(highest, at, notes.pitch[held])
    np.minimum.at(lowest, at, notes.pitch[held])
    return {
        "is_highest": notes.pitch >= highest[onset],
        "is_lowest": notes.pitch <= lowest[onset],
        "below_highest": (highest[onset] - notes.pitch) / 12,
        "above_lowest": (notes.pitch - lowest[onset]) / 12,
        "n_sounding": np.log2(np.bincount(at, minlength=len(onsets)))[onset],
    }


def _describe_voices(notes, onset, order):
    """Return the steps to the nearest pitches of the onsets before and after each note, in octaves."""
    keys = (onset * 128 + notes.pitch)[order]
    features = {}
    for name, other in (("voice_before", onset - 1), ("voice_after", onset + 1)):
        right = np.searchsorted(keys, other * 128 + notes.pitch)
        step = np.full(len(notes), 99)
        for candidate in (np.maximum(right - 1, 0), np.minimum(right, len(keys) - 1)):
            candidate_step = keys[candidate] % 128 - notes.pitch
            fits = (keys[candidate] // 128 == other) & (np.abs(candidate_step) < np.abs(step))
            step = np.where(fits, candidate_step, step)
        step = np.where(step == 99, 0, step)
        features[name] = np.clip(step / 12, -2, 2)
        features[f"{name}_distance"] = np.clip(np.abs(step) / 12, 0, 2)
    return features


def _since_same_pitch(notes):
    """Return how long ago each pitch was last struck, at most four quarters, in quarters."""
    order = np.lexsort((notes.start, notes.pitch))
    pitch, start = notes.pitch[order], notes.start[order]
    since = np.full(len(notes), 4.0)
    is_same = pitch[1:] == pitch[:-1]
    since[order[1:][is_same]] = np.minimum(4, (start[1:] - start[:-1])[is_same] / notes.steps_per_quarter)
    return since


def _describe_metre(start, beat, beats):
    """Return the place of each note in its beat and bar."""
    length = np.maximum(np.diff(beats.begin)[beat], 1e-6)
    in_beat = np.clip((start - beats.begin[beat]) / length, 0, 1)
    in_bar = (beats.place[beat] + in_beat) / beats.n_in_bar[beat]
    return {
        "place_in_beat": in_beat,
        "on_beat": in_beat < 0.01,
        "on_half_beat": np.abs(in_beat - 0.5) < 0.01,
        "on_downbeat": (in_beat < 0.01) & (beats.place[beat] == 0),
        "on_half_bar": np.abs(in_bar - 0.5) < 0.01,
        "place_in_bar": in_bar,
        "bar_sine": np.sin(2 * np.pi * in_bar),
        "bar_cosine": np.cos(2 * np.pi * in_bar),
    }


def _describe_key(notes, beats, beat):
    """Return the share of each note's pitch class in the piece and around it."""
    profile = pitch_class_profile(notes, beats)
    whole = profile.sum(0) / max(profile.sum(), 1e-9)
    local = moving_sum(profile, KEY_BEATS, KEY_BEATS)
    local = local / np.maximum(local.sum(1, keepdims=True), 1e-9)
    return {"pitch_class_share": whole[notes.pitch % 12], "pitch_class_local_share": local[beat, notes.pitch % 12]}
