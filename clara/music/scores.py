"""Scores as `NoteSequence`: MusicXML (plain and .mxl), Humdrum **kern, ABC, music21's own corpus.

All are read by music21, at half a millisecond to one for each note: of the three readers measured in
`benchmarks/score_speed.py` it alone has the notes right. verovio is two to three times as fast, but plays
grace notes and ornaments and aborts the process on some ABC; partitura is up to twice as fast (five times
on **kern), but reads instruments that sound an octave lower an octave too high (21 of the 119 plain files
of music21's corpus have them), and drops ties between voices and, in **kern, of chords.
music21's own joining of ties, which takes most of its time and passes over chords that are tied in
part, is not used.

What a score means here: ties are one note; grace notes take no time and are left out, and counted;
repeats are not played out; transposing instruments sound at their pitch; chord symbols do not sound;
notes without pitch are drums, left out and counted. All is part 0 unless an ensemble is asked for.

A piece given as MIDI and as MusicXML comes out the same, but for what MIDI tells otherwise:
- a MIDI file written by notation software has repeats, grace notes, ornaments and chord symbols played out;
- two voices in unison are one note to MIDI, the second cut or merged by what wrote it;
- the tempo is the first mark here, the mean of all there; words (Allegro) are no mark here;
- a piece with an upbeat has its first bar line where the upbeat ends here, and at step 0 there;
- music21 as writer of MIDI leaves some ties between voices unjoined (two notes of four in bach/bwv846);
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
from clara.music.instruments import ENSEMBLES, assign_parts, guess_program, move_into_range
from clara.music.midi import MAX_METRE, MAX_QUARTERS, is_monophonic
from clara.music.notes import COMMON_TIME, build_notes, quantize
from clara.music.score_text import SCORE_SUFFIXES, read_score_text

TICKS_PER_QUARTER = 10080  # divides by all denominators up to 10: tuplets come out exact
# What music21 raises on a broken score, found by cutting and garbling files of each format.
BROKEN = (
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

# What music21 writes to stderr where it passes over a kern note, or takes what is no note in ABC for a C
UNREAD = re.compile(r"pitch information from note:|parsing event \('[^']*\d[^']*'\).*for note information")


def read_score(source, *, steps_per_quarter=12, ensemble="piano", solo_track=None, tune=None):
    """Read a score as notes on a grid.

    Parameters
    ----------
    source : path of a score, or the name of a piece in music21's corpus (bach/bwv66.6)
    steps_per_quarter : grid to round to
    ensemble : which parts to tell apart, a name in `clara.music.instruments.ENSEMBLES`; of piano, all are one
    solo_track : the solo's part among those with notes, by number from 1 or by name
    tune : of an ABC file with several, which one, from 1; the first where it is None

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `grace` and `drums` (left out), `unread` (what music21 could not make out),
        `tunes` (others in the file), `merged` and `cut` (see `clara.music.notes.build_notes`), `moved` and `folded` (see `clara.music.instruments.move_into_range`)

    Raises
    ------
    BadMusicFile
        If it is broken, refused, or beyond what music21 reads.
    NoNotes
        If it holds no pitched note.
    TooLong
        If it exceeds the caps of `clara.music.score_text` or MAX_QUARTERS.
    WrongEnsemble
        If its parts are not the ensemble's.
    """
    path = Path(source) if Path(source).exists() else _corpus_path(source)
    text, form, others = read_score_text(path, tune)
    parts, losses = _parsed(text, form, source)
    parts = [p for p in parts if p.rows]
    if not parts:
        raise NoNotes(f"{source}: no notes in it{' but drums' * (losses['drums'] > 0)}")
    columns = [_joined(p.rows) for p in parts]
    part = _assigned(parts, columns, ensemble, solo_track, source)
    start, end, pitch = (np.concatenate(c) for c in zip(*columns))
    if start.min() < 0 or end.max() > MAX_QUARTERS * TICKS_PER_QUARTER:
        raise TooLong(f"{source}: longer than {MAX_QUARTERS:,} quarters")
    if pitch.min() < 0 or pitch.max() > 127:
        raise BadMusicFile(f"{source}: a pitch outside 0-127")
    told = next((p for p in parts if p.time_signatures), parts[0])
    qpm = next((p.qpm for p in parts if p.qpm), 120.0)
    notes, mended = build_notes(
        *(quantize(t, TICKS_PER_QUARTER, steps_per_quarter) for t in (start, end)),
        pitch,
        part,
        steps_per_quarter=steps_per_quarter,
        qpm=qpm,
        time_signatures=_metre(told, steps_per_quarter),
        instruments=ENSEMBLES[ensemble] if ensemble != "piano" else ("p", "v"),
    )
    notes, moved = move_into_range(notes) if ensemble == "chamber" else (notes, Counter())
    return notes, +(losses + mended + moved + Counter(tunes=others))


class _Part:
    """What music21 tells of one part.

    Attributes
    ----------
    name : str
    program : General MIDI
    rows : list of (start, end, pitch, tied), in ticks; tied where the note goes on in the next
    metre : list of (tick, numerator, denominator)
    first_bar : ticks of the first bar, or 0 where there are no bars
    qpm : the first tempo mark's, or None
    """

    def __init__(self, name, program):
        self.name, self.program = name, program
        self.rows, self.time_signatures, self.first_bar, self.qpm = [], [], 0, None


def _corpus_path(name):
    """The path of a piece in music21's corpus."""
    from music21 import corpus
    from music21.exceptions21 import Music21Exception

    try:
        found = corpus.getWork(str(name))
    except (Music21Exception, ValueError, OSError) as e:
        raise BadMusicFile(f"{name}: no such file, nor a piece in music21's corpus") from e
    return Path(found[0] if isinstance(found, list) else found)


def _parsed(text, form, source):
    """The parts of a score as music21 reads it, and what was left out."""
    from music21 import converter, stream
    from music21.exceptions21 import Music21Exception

    said = StringIO()
    try:
        with warnings.catch_warnings(), redirect_stderr(said):
            warnings.simplefilter("ignore")  # on spelling, beams and the like, which are no notes
            score = converter.parseData(text, format=form)
            score.toSoundingPitch(inPlace=True)
            parts, losses = {}, Counter()
            for at, told in enumerate(score.parts if isinstance(score, stream.Score) else [score]):
                # the two staves of a piano are one part to MusicXML and two to music21
                key = told.id.split("-Staff")[0] if isinstance(told, stream.PartStaff) else at
                player = told.getInstrument()
                name = told.partName or player.partName or ""
                part = parts.setdefault(key, _Part(name, player.midiProgram or guess_program(name)))
                _tell(told, part, losses)
    except (Music21Exception, *BROKEN) as e:
        raise BadMusicFile(f"{source}: music21 cannot read it ({type(e).__name__}: {str(e)[:120]})") from e
    return list(parts.values()), losses + Counter(unread=len(UNREAD.findall(said.getvalue())))


def _tell(told, part, losses):
    """Add one staff of music21's to a part, and count what is left out."""
    from music21 import harmony, meter, stream, tempo

    flat = told.flatten()
    for n in flat.notes:
        if isinstance(n, harmony.Harmony):
            continue
        if n.duration.isGrace:
            losses["grace"] += 1
            continue
        start, end = (round(q * TICKS_PER_QUARTER) for q in (n.offset, n.offset + n.quarterLength))
        for tone in getattr(n, "notes", (n,)):
            if not hasattr(tone, "pitch"):
                losses["drums"] += 1
                continue
            part.rows.append((start, end, tone.pitch.midi, tone.tie is not None and tone.tie.type != "stop"))
    if not part.time_signatures:
        # bar by bar: music21 puts one signature into several bars of an ABC tune, and flat it has one place
        bars = list(told.getElementsByClass(stream.Measure)) or [told]
        part.time_signatures = [
            (round((bar.offset + bar.elementOffset(s)) * TICKS_PER_QUARTER), s.numerator, s.denominator)
            for bar in bars
            for s in bar.getElementsByClass(meter.TimeSignature)
        ]
        part.first_bar = round(bars[1].offset * TICKS_PER_QUARTER) if len(bars) > 1 else 0
    marks = [m for m in flat.getElementsByClass(tempo.MetronomeMark) if not m.numberImplicit]
    part.qpm = part.qpm or next((float(m.getQuarterBPM()) for m in marks if m.getQuarterBPM()), None)


def _joined(rows):
    """Start, end and pitch of one part's notes, those tied made one."""
    heads, sounding = [], {}
    for start, end, pitch, tied in sorted(rows):
        head = sounding.get((start, pitch))
        if head is None:
            head = [start, end, pitch]
            heads.append(head)
        head[1] = max(head[1], end)
        if tied:
            sounding[end, pitch] = head
    return np.array(heads, dtype=np.int64).T


def _assigned(parts, columns, ensemble, solo_track, source):
    """The part of every note."""
    told = [(p.name, p.program, lambda c=c: is_monophonic(*c[:2])) for p, c in zip(parts, columns)]
    try:
        return np.repeat(assign_parts(told, ensemble, solo_track), [c.shape[1] for c in columns])
    except WrongEnsemble as e:
        raise WrongEnsemble(f"{source}: {e}") from e


def _metre(part, steps_per_quarter):
    """The metre as `NoteSequence` keeps it; an upbeat lies in a bar that begins before step 0."""
    told = {0: COMMON_TIME[0][1:]}
    for tick, numerator, denominator in sorted(part.time_signatures):
        if 1 <= numerator <= MAX_METRE and 1 <= denominator <= MAX_METRE:
            told[int(quantize(tick, TICKS_PER_QUARTER, steps_per_quarter))] = (numerator, denominator)
    kept = []
    for step, fraction in sorted(told.items()):
        if not kept or kept[-1][1:] != fraction:
            kept.append((step, *fraction))
    bar = 4 * TICKS_PER_QUARTER * kept[0][1] // kept[0][2]
    if 0 < part.first_bar < bar:
        kept[0] = (int(quantize(part.first_bar - bar, TICKS_PER_QUARTER, steps_per_quarter)), *kept[0][1:])
    return tuple(kept)


def corpus_paths(composer):
    """Paths of a composer's scores in the corpus that music21 installs, sorted.

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
