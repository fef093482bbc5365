"""Ways to find hands, voices, names, key and time signatures of notes: Clara's, simple rules, and partitura's."""

from dataclasses import dataclass

import numpy as np

from clara.music.key_signatures import signature_of_key
from clara.music.keys import estimate_key, estimate_key_signature
from clara.music.notes import NoteSequence
from clara.music.signature_estimation import estimate_time_signature
from clara.notation.hands import LEFT, RIGHT, split_at_middle_c
from clara.notation.score import notate
from clara.notation.spelling import spell, spell_by_key

CLARA, RULES, PARTITURA = "Clara", "rules", "partitura"
FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}


@dataclass(frozen=True)
class Names:
    """What a method says about the names of notes.

    Attributes
    ----------
    names, names_in_key : int64 arrays (n,)
        Places on the line of fifths, with the key signature estimated, and with the right one given.
    key_signature : int
    time_signature : (numerator, denominator)
    """

    names: np.ndarray
    names_in_key: np.ndarray
    key_signature: int
    time_signature: tuple[int, int]


def assign_staves(notes: NoteSequence, measure: np.ndarray) -> dict:
    """Return {method: (hand of each note, voice of each note on its staff)}."""
    middle = split_at_middle_c(notes.pitch)
    found = {CLARA: _clara_staves(notes), RULES: (middle, np.zeros_like(middle))}
    if has_partitura():
        found[PARTITURA] = (middle, _partitura_voices(notes, middle))
    return found


def _clara_staves(notes):
    """Return the hand and the voice of each note in Clara's written music."""
    hand, voice = np.zeros(len(notes), dtype=np.int64), np.zeros(len(notes), dtype=np.int64)
    score = notate(notes)
    for number, staff in enumerate(score.parts[0].staves):
        for staff_measure in staff:
            for rank, events in enumerate(staff_measure.voices):
                for event in events:
                    for note in event.notes:
                        if score.ticks[note][0] == event.start:
                            hand[note], voice[note] = number, rank
    return hand, voice


def name_notes(notes: NoteSequence, signature: int) -> dict[str, Names]:
    """Return {method: names}; `signature` is the right key signature."""
    estimated = estimate_key_signature(notes)
    ((_, *time_signature),) = estimate_time_signature(notes)
    found = {
        CLARA: Names(spell(notes, ((0, estimated),)), spell(notes, ((0, signature),)), estimated, tuple(time_signature))
    }
    simple = signature_of_key(*estimate_key(notes))
    found[RULES] = Names(spell_by_key(notes.pitch, simple), spell_by_key(notes.pitch, signature), simple, (4, 4))
    if has_partitura():
        found[PARTITURA] = _partitura_names(notes)
    return found


def has_partitura() -> bool:
    """Return whether partitura is installed."""
    try:
        import partitura  # noqa: F401
    except ImportError:
        return False
    return True


def _note_array(notes):
    """Return notes as partitura's note array, in quarters and as many divisions as steps."""
    columns = ("onset_beat", "duration_beat", "onset_quarter", "duration_quarter", "onset_div", "duration_div", "pitch")
    types = [(name, "i4" if name.endswith(("div", "pitch")) else "f4") for name in columns]
    array = np.zeros(
        len(notes), dtype=[*types, ("voice", "i4"), ("id", "U16"), ("onset_sec", "f4"), ("duration_sec", "f4")]
    )
    quarters = notes.start / notes.steps_per_quarter, notes.duration / notes.steps_per_quarter
    for unit in ("beat", "quarter", "sec"):
        array[f"onset_{unit}"], array[f"duration_{unit}"] = quarters
    array["onset_div"], array["duration_div"], array["pitch"] = notes.start, notes.duration, notes.pitch
    array["id"] = [f"n{i}" for i in range(len(notes))]
    return array


def _partitura_names(notes):
    """Return partitura's spelling (Meredith's ps13s1), key (Krumhansl and Schmuckler) and time signature."""
    from partitura import musicanalysis
    from partitura.utils.music import key_name_to_fifths_mode

    array = _note_array(notes)
    spelling = musicanalysis.estimate_spelling(array)
    names = np.array([FIFTHS[step] + 7 * alter for step, alter in zip(spelling["step"], spelling["alter"].tolist())])
    fifths, _ = key_name_to_fifths_mode(musicanalysis.estimate_key(array))
    return Names(names, names, fifths, (int(musicanalysis.estimate_time(array)["meter_numerator"]), 4))


def _partitura_voices(notes, hand):
    """Return partitura's voices within each hand; the higher ones first."""
    from partitura import musicanalysis

    voice = np.zeros(len(notes), dtype=np.int64)
    for number in (RIGHT, LEFT):
        in_hand = hand == number
        if in_hand.any():
            array = _note_array(notes)[in_hand]
            voice[in_hand] = musicanalysis.estimate_voices(array, monophonic_voices=False)
    return voice
