"""The instruments of the text, and which track of a file plays which part.

A track is piano (also harp, harpsichord, organ), solo (strings, winds, voice) or unknown. Its name
counts more than its General MIDI program, because many files leave every program at 0.
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from clara.errors import WrongEnsemble
from clara.music.notes import NoteSequence, rebuild_notes

PIANO, SOLO, UNKNOWN = "piano", "solo", "unknown"


@dataclass(frozen=True)
class Instrument:
    """An instrument that has a prefix in the text.

    Attributes
    ----------
    prefix : str
        Letters that begin its tokens, such as `p` in `p40`.
    name : str
        Name of its track.
    program : int
        General MIDI program, 0-127.
    lowest, highest : int
        MIDI numbers of its range.
    """

    prefix: str
    name: str
    program: int
    lowest: int = 21
    highest: int = 108


INSTRUMENTS = {
    i.prefix: i
    for i in (
        Instrument("p", "Piano", 0),
        Instrument("v", "Violin", 40, 55, 103),
        Instrument("va", "Violin I", 40, 55, 103),
        Instrument("vb", "Violin II", 40, 55, 103),
        Instrument("w", "Viola", 41, 48, 91),
        Instrument("c", "Cello", 42, 36, 84),
    )
}
ENSEMBLES = {"piano": ("p",), "chamber": ("p", "v"), "quartet": ("va", "vb", "w", "c")}

# General MIDI programs from 0; General MIDI 1 sound set, MIDI Manufacturers Association.
PIANO_PROGRAMS = {*range(8), *range(16, 24), 46}  # pianos, harpsichord, clavinet; organs; harp
SOLO_PROGRAMS = {*range(40, 46), *range(52, 55), *range(56, 80), 110}  # strings, voices, brass, reeds, pipes, fiddle
PIANO_NAMES = re.compile(
    r"\b(piano|pianoforte|fortepiano|pf|pno|klavier|clavier|harpsi\w*|cembalo|clavecin|clavicembalo|organ|orgue|orgel|"
    r"harp|harfe|harpe|arpa|celesta|keyboard|continuo|upper|lower|up|down|right|left|rh|lh|r\.h|l\.h|"
    r"treble|bass ?clef|manual\w*|pedal)\b|piano|klavier"
)
SOLO_NAMES = re.compile(
    r"\b(viol[aeio]\w*|vln|vla|vc|cell[io]|contrabass\w*|fiddle|geige|bratsche|gamba|"
    r"flut\w*|fl[öo]te|flauto|traverso|recorder\w*|blockfl\w*|piccolo|oboe\w*|hautbois|clarin\w*|klarin\w*|"
    r"bassoon|fagott\w*|basson|horn|corno|cor|trumpet|tromba|trompete|trombone|tuba|sax\w*|"
    r"voice|vocal\w*|voix|voce|canto|chant|singstimme|gesang|stimme|sopran\w*|mezzo\w*|alto|alt|contralto|tenor\w*|"
    r"bari?ton\w*|bass|basso|melody|melodie|solo\w*|singer|song|lead)\b|voice|violin|flute|cello|clarinet|sopran|tenor"
)

MAX_NAMES = 200  # characters of track names in a message


def track_role(name: str, program: int) -> str:
    """Return whether a track is piano, solo or unknown.

    Parameters
    ----------
    name : str
        Name of the track, in any case.
    program : int
        General MIDI program, 0-127. Program 0 alone says nothing, because files without programs
        have it, too.

    Returns
    -------
    PIANO, SOLO or UNKNOWN
    """
    name = re.sub(r"[_:\-\d]+", " ", name.lower())
    if PIANO_NAMES.search(name):
        return PIANO
    if SOLO_NAMES.search(name):
        return SOLO
    if program in SOLO_PROGRAMS:
        return SOLO
    return PIANO if program in PIANO_PROGRAMS - {0} else UNKNOWN


def guess_program(name: str) -> int:
    """Return the General MIDI program of a string part by its name, or 0; for scores without programs."""
    name = name.lower()
    for word, program in (("cello", 42), ("viola", 41), ("violin", 40)):
        if word in name:
            return program
    return 0


def assign_parts(tracks, ensemble: str, solo_track=None) -> list[int]:
    """Return the part that each track plays.

    Parameters
    ----------
    tracks : list of (name, program, check_monophonic)
        The tracks with notes, in the file's order. `check_monophonic()` returns whether the track
        is a single line of notes.
    ensemble : str
        A name in `ENSEMBLES`.
    solo_track : int or str, optional
        Number of the solo track, from 1, or its name; overrides the guess by names and programs.

    Returns
    -------
    list of int

    Raises
    ------
    WrongEnsemble
        If the tracks are not those of the ensemble; the message says what they are.
    """
    if ensemble == "piano":
        return [0] * len(tracks)
    if ensemble == "chamber":
        solo = _guess_solo(tracks) if solo_track is None else _find_track(tracks, solo_track)
        return [int(i == solo) for i in range(len(tracks))]
    return _assign_by_program(tracks, [INSTRUMENTS[prefix] for prefix in ENSEMBLES[ensemble]])


def _find_track(tracks, solo_track):
    """Return the index of the track with a name or a number."""
    names = [name.strip().lower() for name, _, _ in tracks]
    wanted = str(solo_track).strip().lower()
    number = int(wanted) if wanted.isdecimal() else 0
    index = names.index(wanted) if wanted in names else number - 1
    if not 0 <= index < len(tracks):
        raise WrongEnsemble(
            f"no track {solo_track!r} among {len(tracks)}: {', '.join(n or '(no name)' for n in names)}"
        )
    if len(tracks) < 2:
        raise WrongEnsemble("no piano part beside the solo")
    return index


def _guess_solo(tracks):
    """Return the index of the one solo track; the other tracks are piano."""
    roles = [track_role(name, program) for name, program, _ in tracks]
    for (name, program, _), role in zip(tracks, roles):
        if role == UNKNOWN and program:
            raise WrongEnsemble(f"neither piano nor solo: {name.strip() or '(no name)'}, program {program}")
    solos = [i for i, role in enumerate(roles) if role == SOLO]
    unknown = [i for i, role in enumerate(roles) if role == UNKNOWN]
    if not solos and unknown:
        is_only_unknown = len(unknown) == 1 and len(tracks) > 1
        is_line_above_two_staves = len(unknown) == len(tracks) == 3
        check_monophonic = tracks[unknown[0]][2]
        if (is_only_unknown or is_line_above_two_staves) and check_monophonic():
            solos = unknown[:1]
    if len(solos) != 1:
        names = ", ".join(name.strip() or "(no name)" for name, _, _ in tracks)[:MAX_NAMES]
        raise WrongEnsemble(
            f"{len(solos) or 'no'} solo part{'s' * (len(solos) > 1)} among the tracks {names}; name the "
            "solo's track, or its number from 1, with clara prepare --solo-track"
        )
    if len(tracks) < 2:
        raise WrongEnsemble("no piano part beside the solo")
    return solos[0]


def _assign_by_program(tracks, instruments):
    """Return the parts of tracks by program: each takes the next free instrument of its program, or else the last."""
    free = list(range(len(instruments)))
    last_of_program, parts = {}, []
    for name, program, _ in tracks:
        matching = [i for i in free if instruments[i].program == program]
        part = matching[0] if matching else last_of_program.get(program)
        if part is None:
            raise WrongEnsemble(f"no part for {name.strip() or '(no name)'}, program {program}")
        if part in free:
            free.remove(part)
        last_of_program[program] = part
        parts.append(part)
    if free:
        raise WrongEnsemble(f"no {instruments[free[0]].name.lower()} part")
    return parts


def move_into_range(notes: NoteSequence) -> tuple[NoteSequence, Counter]:
    """Move a solo part (prefix `v`) by octaves into the range of its instrument.

    The part moves as a whole, by as few octaves as possible. Notes that are still outside then move
    one by one.

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `moved` (notes of parts that moved as a whole), `folded` (notes that moved alone), and
        `merged` and `cut` where notes met.
    """
    pitch, losses = notes.pitch.copy(), Counter()
    for part, prefix in enumerate(notes.instruments):
        in_part = notes.part == part
        if prefix == "v" and in_part.any():
            pitch[in_part], part_losses = _fit_range(pitch[in_part], INSTRUMENTS[prefix])
            losses += part_losses
    if not losses:
        return notes, losses
    moved, build_losses = rebuild_notes(notes, notes.start, notes.end, pitch, notes.part)
    return moved, losses + build_losses


def _fit_range(pitch, instrument):
    """Return the pitches of a part moved into the range of its instrument, and what moved."""
    octaves_up = max(0, -((int(pitch.min()) - instrument.lowest) // 12))
    octaves_down = max(0, -((instrument.highest - int(pitch.max())) // 12))
    shift = 0 if octaves_up and octaves_down else 12 * (octaves_up - octaves_down)
    pitch = pitch + shift
    notes_up = np.maximum(0, -((pitch - instrument.lowest) // 12))
    notes_down = np.maximum(0, -((instrument.highest - pitch) // 12))
    losses = Counter(moved=len(pitch) if shift else 0, folded=int(((notes_up + notes_down) > 0).sum()))
    return pitch + 12 * (notes_up - notes_down), losses
