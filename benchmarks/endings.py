"""How a piece ends, and in which keys it begins and ends."""

import numpy as np

from clara.form.bars import Bars
from clara.form.harmony import key_profiles
from clara.music.notes import NoteSequence

KEY_BARS = 8  # bars at either end from which the key is estimated
DOMINANT_BARS = 2  # bars before the final chord in which a dominant is looked for
# semitones above the tonic
MAJOR_TRIAD, MINOR_TRIAD = {0, 4, 7}, {0, 3, 7}
LEADING_TONE = 11
DOMINANT_TONES = (2, 5, 7)  # with the leading tone, one of these makes a dominant


def first_full_bar(bars: Bars) -> int:
    """Return the bar from which phrases are counted: 1 if the piece begins with an upbeat, otherwise 0."""
    first_length = bars.begin[1] - bars.begin[0]
    return int(bars.onset[0] * 2 >= first_length)


def describe_ending(notes: NoteSequence, bars: Bars) -> dict[str, bool]:
    """Return whether a piece ends as most tonal music does.

    Returns
    -------
    dict of str to bool
        `tonic_bass`: from a strong beat of the last bar on, the lowest note is the tonic. `tonic`: and nothing but the
        tonic chord sounds. `cadence`: and a dominant comes in the two bars before. `same_key`: the first and the last
        eight bars have one tonic and mode. `same_tonic`: they have one tonic.
    """
    first_key = _key_between(notes, bars.begin[0], bars.begin[min(len(bars), KEY_BARS)])
    last_key = _key_between(notes, bars.begin[max(0, len(bars) - KEY_BARS)], bars.begin[-1])
    tonic_bass, ends_on_tonic, cadence = False, False, False
    for begin in _final_strong_beats(bars):
        sounding = notes.end > begin
        degrees = set(((notes.pitch[sounding] - last_key[0]) % 12).tolist())
        bass_fits = (notes.pitch[sounding].min() - last_key[0]) % 12 == 0
        chord_fits = bass_fits and (degrees <= MAJOR_TRIAD or degrees <= MINOR_TRIAD)
        tonic_bass |= bool(bass_fits)
        ends_on_tonic |= bool(chord_fits)
        cadence |= bool(chord_fits and _has_dominant(notes, bars, begin, last_key[0]))
    return {
        "tonic_bass": tonic_bass,
        "tonic": ends_on_tonic,
        "cadence": cadence,
        "same_key": first_key == last_key,
        "same_tonic": first_key[0] == last_key[0],
    }


def _key_between(notes, begin, end):
    """Return the tonic and whether the mode is major of the notes that start between two steps."""
    inside = (notes.start >= begin) & (notes.start < end)
    weights = np.bincount(notes.pitch[inside] % 12, notes.duration[inside], minlength=12)
    best = int(np.argmax(key_profiles() @ (weights - weights.mean())))
    return best % 12, best < 12


def _final_strong_beats(bars):
    """Return the strong beats of the last bar with an onset that have onsets: the barline and the middle."""
    bar = bars.bar[-1]
    begin, end = bars.begin[bar : bar + 2].tolist()
    onsets = bars.onset[bars.bar == bar]
    return [begin + place for place in (0, (end - begin) // 2) if place in onsets]


def _has_dominant(notes, bars, chord_begin, tonic):
    """Return whether a dominant sounds in some quarter of the two bars before a step."""
    quarter = notes.steps_per_quarter
    bar = np.searchsorted(bars.begin, chord_begin, "right") - 1
    first = bars.begin[max(0, bar - DOMINANT_BARS)]
    for begin in range(int(first), chord_begin, quarter):
        sounding = (notes.start < min(begin + quarter, chord_begin)) & (notes.end > begin)
        degrees = (notes.pitch[sounding] - tonic) % 12
        if LEADING_TONE in degrees and np.isin(DOMINANT_TONES, degrees).any():
            return True
    return False
