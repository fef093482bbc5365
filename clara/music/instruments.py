"""Instruments: which word prefix, name and General MIDI program each has, and what plays what in a file.

The one table of programs and names. A track is piano (also harp, harpsichord, organ),
solo (strings, winds, voice) or unknown; its name speaks before its program, as many
files leave every program at 0.
"""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from clara.errors import WrongEnsemble
from clara.music.notes import rebuild_notes

PIANO, SOLO, UNKNOWN = "piano", "solo", "unknown"


@dataclass(frozen=True)
class Instrument:
    """What one prefix of the text stands for.

    Attributes
    ----------
    prefix : of its words, letters alone
    name : of its track
    program : General MIDI, 0-127
    lowest, highest : MIDI numbers that it plays
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


def track_role(name, program):
    """Whether a track is piano, solo or unknown.

    Parameters
    ----------
    name : of the track, any case
    program : General MIDI, 0-127

    Returns
    -------
    PIANO, SOLO or UNKNOWN; program 0 alone says nothing, as files without programs have it too
    """
    name = re.sub(r"[_:\-\d]+", " ", name.lower())
    if PIANO_NAMES.search(name):
        return PIANO
    if SOLO_NAMES.search(name):
        return SOLO
    if program in SOLO_PROGRAMS:
        return SOLO
    return PIANO if program in PIANO_PROGRAMS - {0} else UNKNOWN


def guess_program(name):
    """The General MIDI program of a part by its name, for scores that tell none; 0 where the name is no string's."""
    name = name.lower()
    return next((p for word, p in (("cello", 42), ("viola", 41), ("violin", 40)) if word in name), 0)


def assign_parts(tracks, ensemble, solo_track=None):
    """The part of each track.

    Parameters
    ----------
    tracks : list of (name, program, is_monophonic), a tuple per track with notes, in the file's order;
        is_monophonic() tells whether it is a single line of notes
    ensemble : name in `ENSEMBLES`
    solo_track : number of the solo track among them, from 1, or its name; overrides the table

    Returns
    -------
    list of int

    Raises
    ------
    WrongEnsemble
        Saying what is there instead.
    """
    if ensemble == "piano":
        return [0] * len(tracks)
    if ensemble == "chamber":
        solo = _solo(tracks) if solo_track is None else _named(tracks, solo_track)
        return [int(i == solo) for i in range(len(tracks))]
    return _by_program(tracks, [INSTRUMENTS[p] for p in ENSEMBLES[ensemble]])


def _named(tracks, solo_track):
    """The index of the track that --solo-track means."""
    names = [name.strip().lower() for name, _, _ in tracks]
    told = str(solo_track).strip().lower()
    at = names.index(told) if told in names else int(told) - 1 if told.isdecimal() else -1
    if not 0 <= at < len(tracks):
        raise WrongEnsemble(
            f"no track {solo_track!r} among {len(tracks)}: {', '.join(n or '(no name)' for n in names)}"
        )
    if len(tracks) < 2:
        raise WrongEnsemble("no piano part beside the solo")
    return at


def _solo(tracks):
    """The index of the one solo track; the others are piano."""
    roles = [track_role(name, program) for name, program, _ in tracks]
    strange = [tracks[i] for i, r in enumerate(roles) if r == UNKNOWN and tracks[i][1]]
    if strange:
        raise WrongEnsemble(f"neither piano nor solo: {strange[0][0].strip() or '(no name)'}, program {strange[0][1]}")
    solos = [i for i, r in enumerate(roles) if r == SOLO]
    unknown = [i for i, r in enumerate(roles) if r == UNKNOWN]
    if not solos and unknown:  # the one track that is not the piano's, or a first line above two staves
        alone = len(unknown) == 1 and len(tracks) > 1
        if (alone or unknown == list(range(len(tracks))) and len(tracks) == 3) and tracks[unknown[0]][2]():
            solos = unknown[:1]
    if len(solos) != 1:
        raise WrongEnsemble(f"{len(solos)} solo parts" if solos else "no solo part")
    if len(tracks) < 2:
        raise WrongEnsemble("no piano part beside the solo")
    return solos[0]


def _by_program(tracks, instruments):
    """Tracks of one program to the instruments of that program in turn; too many go to the last of them."""
    free, last, parts = list(range(len(instruments))), {}, []
    for name, program, _ in tracks:
        at = next((i for i in free if instruments[i].program == program), last.get(program))
        if at is None:
            raise WrongEnsemble(f"no part for {name.strip() or '(no name)'}, program {program}")
        if at in free:
            free.remove(at)
        last[program] = at
        parts.append(at)
    if free:
        raise WrongEnsemble(f"no {instruments[free[0]].name.lower()} part")
    return parts


def move_into_range(notes):
    """Move a solo part by octaves into its instrument's range.

    The part goes as a whole, as little as will do; notes that still lie outside go by
    themselves.

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `moved` (notes of parts moved as a whole), `folded` and what `build_notes` lost
    """
    pitch, losses = notes.pitch.copy(), Counter()
    for index, prefix in enumerate(notes.instruments):
        of_part, player = notes.part == index, INSTRUMENTS[prefix]
        if prefix != "v" or not of_part.any():
            continue
        low, high = pitch[of_part].min(), pitch[of_part].max()
        up, down = -min(0, (low - player.lowest) // 12), -min(0, (player.highest - high) // 12)
        whole = 12 * up if not down else -12 * down if not up else 0
        pitch[of_part] += whole
        beyond_low = np.maximum(0, -((pitch - player.lowest) // 12)) * of_part
        beyond_high = np.maximum(0, -((player.highest - pitch) // 12)) * of_part
        pitch += 12 * (beyond_low - beyond_high)
        losses += Counter(moved=int(of_part.sum()) if whole else 0, folded=int(((beyond_low + beyond_high) > 0).sum()))
    if not losses:
        return notes, losses
    moved, mended = rebuild_notes(notes, notes.start, notes.end, pitch, notes.part)
    return moved, losses + mended
