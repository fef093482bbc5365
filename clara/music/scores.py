"""Scores as `NoteSequence`: MusicXML (plain and .mxl), Humdrum **kern, ABC, and music21's corpus.

music21 reads them all, at half a millisecond to one millisecond per note. Of the three readers that
`benchmarks/score_speed.py` compares, only music21 gets the notes right. verovio is two to three
times as fast, but it plays grace notes and ornaments and aborts the process on some ABC. partitura
is up to twice as fast (five times on **kern), but it reads instruments that sound an octave lower
an octave too high (21 of the 119 plain files of music21's corpus have them), and drops ties between
voices and, in **kern, ties of chords. Ties are joined here, because music21's own function takes
most of its time and skips chords that are tied in part.

How a score is read: tied notes are one note. Grace notes are left out and counted. Repeats are not
played out. Transposing instruments sound at their pitch. Chord symbols do not sound. Notes without
pitch are drums, left out and counted. All notes are part 0 unless an ensemble is given.

A piece read from MIDI and from MusicXML comes out the same, with these exceptions:

- A MIDI file written by notation software plays out repeats, grace notes, ornaments and chord symbols.
- Two voices in unison are one note in MIDI; the program that wrote the file cut or merged the second.
- The tempo is the first mark here and the mean tempo there. A word (Allegro) is not a mark here.
- In a piece with an upbeat, the first bar line comes after the upbeat here, and at step 0 there.
- music21 as a writer of MIDI leaves some ties between voices unjoined (two of four in bach/bwv846).
- MIDI rounds times to its ticks, so that septuplets may fall on the next step.
"""

import re
import warnings
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from xml.etree.ElementTree import ParseError

import numpy as np

from clara.errors import BadMusicFile, NoData, NoNotes, TooLong, WrongEnsemble
from clara.music.humdrum import parse_humdrum
from clara.music.instruments import ENSEMBLES, assign_parts, guess_program, move_into_range
from clara.music.midi import MAX_QUARTERS, is_monophonic
from clara.music.musicxml import parse_musicxml
from clara.music.note_counts import check_note_count, count_notes
from clara.music.notes import NoteSequence, build_notes, quantize, quantize_time_signatures
from clara.music.score_parts import TICKS_PER_QUARTER, ParsedScore, ScorePart, join_ties
from clara.music.score_text import SCORE_SUFFIXES, read_score_text

# The errors that music21 raises on a broken score, found by cutting and garbling files of each format.
MUSIC21_ERRORS = (
    ParseError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RecursionError,
    OSError,
    StopIteration,
)
# What music21 writes to stderr when it skips a kern note, or reads something in ABC that is no note as a C.
UNREAD_MESSAGE = re.compile(r"pitch information from note:|parsing event \('[^']*\d[^']*'\).*for note information")


def read_score(
    source, *, steps_per_quarter=12, ensemble="piano", solo_track=None, tune=None
) -> tuple[NoteSequence, Counter]:
    """Read a score as notes on a grid.

    Parameters
    ----------
    source : path of a score, or name of a piece in music21's corpus, such as bach/bwv66.6
    steps_per_quarter : int
        The grid.
    ensemble : str
        A name in `clara.music.instruments.ENSEMBLES`; with "piano" all parts become one.
    solo_track : int or str, optional
        The solo part among the parts with notes: its number from 1, or its name.
    tune : int, optional
        Number of the tune in an ABC file with several, from 1 (default: the first).

    Returns
    -------
    notes : NoteSequence
    losses : Counter
        `grace` and `drums` (notes left out), `unread` (tokens that are nothing known), `lost` (notes
        of the source that were not read, see `clara.music.note_counts`), `tunes` (other tunes in the
        file), `merged` and `cut` (see `clara.music.notes.build_notes`), `moved` and
        `folded` (see `clara.music.instruments.move_into_range`).

    Raises
    ------
    BadMusicFile
        If the score is broken, refused, or beyond what music21 reads.
    LostNotes
        If more than a few per cent of its notes cannot be read.
    NoNotes
        If it holds no pitched note.
    TooLong
        If it exceeds the limits of `clara.music.score_text` or MAX_QUARTERS.
    WrongEnsemble
        If its parts are not those of the ensemble.
    """
    path = Path(source) if Path(source).exists() else _corpus_path(source)
    text, form, n_other_tunes = read_score_text(path, tune)
    parse = {"humdrum": parse_humdrum, "musicxml": parse_musicxml}.get(form)
    score = parse(text, source) if parse else _parse(text, form, source)
    losses = score.losses
    if form != "abc":
        losses["lost"] = check_note_count(score.n_written_notes, count_notes(text, form), source)
    parts = [part for part in score.parts if part.rows]
    if not parts:
        raise NoNotes(f"{source}: no notes in it{' but drums' * (losses['drums'] > 0)}")
    columns = [join_ties(part.rows) for part in parts]
    part_of_note = _assign_parts(parts, columns, ensemble, solo_track, source)
    start, end, pitch = (np.concatenate(column) for column in zip(*columns))
    if start.min() < 0 or end.max() > MAX_QUARTERS * TICKS_PER_QUARTER:
        raise TooLong(f"{source}: longer than {MAX_QUARTERS:,} quarters")
    if pitch.min() < 0 or pitch.max() > 127:
        raise BadMusicFile(f"{source}: a pitch outside 0-127")
    part_with_signatures = next((part for part in parts if part.signature_changes), parts[0])
    notes, build_losses = build_notes(
        quantize(start, TICKS_PER_QUARTER, steps_per_quarter),
        quantize(end, TICKS_PER_QUARTER, steps_per_quarter),
        pitch,
        part_of_note,
        steps_per_quarter=steps_per_quarter,
        qpm=next((part.qpm for part in parts if part.qpm), 120.0),
        time_signatures=_time_signatures(part_with_signatures, steps_per_quarter),
        instruments=ENSEMBLES[ensemble] if ensemble != "piano" else ("p", "v"),
    )
    notes, range_losses = move_into_range(notes) if ensemble == "chamber" else (notes, Counter())
    return notes, +(losses + build_losses + range_losses + Counter(tunes=n_other_tunes))


def _corpus_path(name):
    """Return the path of a piece in music21's corpus."""
    from music21 import corpus
    from music21.exceptions21 import Music21Exception

    try:
        work = corpus.getWork(str(name))
    except (Music21Exception, ValueError, OSError) as e:
        raise BadMusicFile(f"{name}: no such file, nor a piece in music21's corpus") from e
    return Path(work[0] if isinstance(work, list) else work)


def _parse(text, form, source):
    """Parse a score with music21; return its parts and what was left out."""
    from music21 import converter, stream
    from music21.exceptions21 import Music21Exception

    stderr = StringIO()
    losses = Counter()
    try:
        with warnings.catch_warnings(), redirect_stderr(stderr):
            warnings.simplefilter("ignore")  # about spelling, beams and the like, not about notes
            score = converter.parseData(text, format=form)
            score.toSoundingPitch(inPlace=True)
            parts = {}
            for index, staff in enumerate(score.parts if isinstance(score, stream.Score) else [score]):
                # the two staves of a piano are one part in MusicXML and two in music21
                key = staff.id.split("-Staff")[0] if isinstance(staff, stream.PartStaff) else index
                instrument = staff.getInstrument()
                name = staff.partName or instrument.partName or ""
                part = parts.setdefault(key, ScorePart(name, instrument.midiProgram or guess_program(name)))
                flat = staff.flatten()
                losses += _add_notes(flat, part)
                _add_time_and_tempo(staff, flat, part)
    except (Music21Exception, *MUSIC21_ERRORS) as e:
        raise BadMusicFile(f"{source}: music21 cannot read it ({type(e).__name__}: {str(e)[:120]})") from e
    losses["unread"] = len(UNREAD_MESSAGE.findall(stderr.getvalue()))
    return ParsedScore(list(parts.values()), losses, sum(len(part.rows) for part in parts.values()))


def _add_notes(flat, part):
    """Add the notes of one flattened music21 staff to a part, and count what is left out."""
    from music21 import harmony

    losses = Counter()
    for element in flat.notes:
        if isinstance(element, harmony.Harmony):
            continue
        if element.duration.isGrace:
            losses["grace"] += 1
            continue
        start = round(element.offset * TICKS_PER_QUARTER)
        end = round((element.offset + element.quarterLength) * TICKS_PER_QUARTER)
        for note in getattr(element, "notes", (element,)):
            if not hasattr(note, "pitch"):
                losses["drums"] += 1
                continue
            is_tied = note.tie is not None and note.tie.type != "stop"
            part.rows.append((start, end, note.pitch.midi, is_tied))
    return losses


def _add_time_and_tempo(staff, flat, part):
    """Add the time signatures and the first tempo mark of one music21 staff to a part that has none yet."""
    from music21 import meter, stream, tempo

    if not part.signature_changes:
        # bar by bar: music21 puts one signature object into several bars of an ABC tune, but flattened it has one place
        bars = list(staff.getElementsByClass(stream.Measure)) or [staff]
        part.signature_changes = [
            (round((bar.offset + bar.elementOffset(s)) * TICKS_PER_QUARTER), s.numerator, s.denominator)
            for bar in bars
            for s in bar.getElementsByClass(meter.TimeSignature)
        ]
        part.first_bar_ticks = round(bars[1].offset * TICKS_PER_QUARTER) if len(bars) > 1 else 0
    if not part.qpm:
        for mark in flat.getElementsByClass(tempo.MetronomeMark):
            if not mark.numberImplicit and mark.getQuarterBPM():
                part.qpm = float(mark.getQuarterBPM())
                break


def _assign_parts(parts, columns, ensemble, solo_track, source):
    """Return the part of every note."""
    described = [
        (part.name, part.program, lambda c=c: is_monophonic(start=c[0], end=c[1])) for part, c in zip(parts, columns)
    ]
    try:
        return np.repeat(assign_parts(described, ensemble, solo_track), [c.shape[1] for c in columns])
    except WrongEnsemble as e:
        raise WrongEnsemble(f"{source}: {e}") from e


def _time_signatures(part, steps_per_quarter):
    """Return the time signatures for a `NoteSequence`; an upbeat lies in a bar that begins before step 0."""
    changes = sorted(part.signature_changes, key=lambda change: change[0])
    signatures = list(quantize_time_signatures(changes, TICKS_PER_QUARTER, steps_per_quarter))
    _, numerator, denominator = signatures[0]
    bar_ticks = 4 * TICKS_PER_QUARTER * numerator // denominator
    if 0 < part.first_bar_ticks < bar_ticks:
        first_step = int(quantize(part.first_bar_ticks - bar_ticks, TICKS_PER_QUARTER, steps_per_quarter))
        signatures[0] = (first_step, numerator, denominator)
    return tuple(signatures)


def corpus_paths(composer: str) -> list[Path]:
    """Return the sorted paths of a composer's scores in the corpus that music21 installs.

    Raises
    ------
    NoData
        If there are none.
    """
    from music21 import corpus

    paths = sorted(p for p in map(Path, corpus.getComposer(composer)) if p.suffix in SCORE_SUFFIXES)
    if not paths:
        raise NoData(
            f"music21:{composer}: music21's corpus has no such composer (try bach, "
            "beethoven, corelli, haydn, joplin, monteverdi, mozart or palestrina)"
        )
    return paths
