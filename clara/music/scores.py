"""Read scores as `NoteSequence`: MusicXML (plain and .mxl), Humdrum **kern, ABC, and music21's corpus.

Each format has a reader of its own (`clara.music.musicxml`, `clara.music.humdrum`, `clara.music.abc`).
`benchmarks/score_readers.py` compares them with music21, verovio, partitura and symusic. Each reader's
notes are counted against the notes in the text (`clara.music.note_counts`), so that none are lost in
silence.

How a score is read: tied notes are one note. Grace notes and cue notes are left out and counted.
Repeats are not played out. Transposing instruments sound at their pitch. Chord symbols do not sound.
Notes without pitch are drums, left out and counted. All notes are part 0 unless an ensemble is given.

A piece read from MIDI and from MusicXML comes out the same, with these exceptions:

- A MIDI file written by notation software plays out repeats, grace notes, ornaments and chord symbols.
- Two voices in unison are one note in MIDI; the program that wrote the file cut or merged the second.
- The tempo is the first mark here and the mean tempo there. A word (Allegro) is not a mark here.
- In a piece with an upbeat, the first bar line comes after the upbeat here, and at step 0 there.
- music21 as a writer of MIDI leaves some ties between voices unjoined (two of four in bach/bwv846).
- MIDI rounds times to its ticks, so that septuplets may fall on the next step.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from clara.errors import BadMusicFile, NoData, NoNotes, TooLong, WrongEnsemble
from clara.music.abc import parse_abc
from clara.music.bars import join_upbeat
from clara.music.humdrum import parse_humdrum
from clara.music.instruments import ENSEMBLES, assign_parts, move_into_range
from clara.music.key_signatures import collect_key_signatures
from clara.music.midi import MAX_QUARTERS, is_monophonic
from clara.music.musicxml import parse_musicxml
from clara.music.note_counts import check_note_count, count_notes
from clara.music.notes import NoteSequence, build_notes, quantize, quantize_time_signatures
from clara.music.score_parts import TICKS_PER_QUARTER, join_ties
from clara.music.score_text import SCORE_SUFFIXES, read_score_text

MAX_TICKS = MAX_QUARTERS * TICKS_PER_QUARTER
DEFAULT_QPM = 120.0
MAX_QPM = 10_000.0
PARSERS = {"abc": parse_abc, "humdrum": parse_humdrum, "musicxml": parse_musicxml}

# Of a bar, if the upbeat has a time signature of its own; scores mark upbeats in other ways, too.
MAX_UPBEAT_SHARE = 0.5


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
        `grace`, `cue` and `drums` (notes left out), `microtones` (notes rounded to a semitone), `unread`
        (tokens that are nothing known), `lost` (notes of the source that were not read, see
        `clara.music.note_counts`), `tunes` (other tunes in the file), `merged` and `cut` (see
        `clara.music.notes.build_notes`), `moved` and `folded` (see
        `clara.music.instruments.move_into_range`).

    Raises
    ------
    BadMusicFile
        If the score is broken or refused.
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
    try:
        score = PARSERS[form](text, source)
    except OverflowError as e:
        raise BadMusicFile(f"{source}: a number in it is too large") from e
    losses = score.losses
    losses["lost"] = check_note_count(score.n_written_notes, count_notes(text, form), source)
    parts = [part for part in score.parts if part.rows]
    if not parts:
        raise NoNotes(f"{source}: no notes in it{' but drums' * (losses['drums'] > 0)}")
    _check_ranges(parts, source)
    columns = [join_ties(part.rows) for part in parts]
    part_of_note = _assign_parts(parts, columns, ensemble, solo_track, source)
    start, end, pitch = (np.concatenate(column) for column in zip(*columns))
    keys = next((part.key_changes for part in parts if part.key_changes), [])
    part_with_signatures = next((part for part in parts if part.signature_changes), parts[0])
    notes, build_losses = build_notes(
        quantize(start, TICKS_PER_QUARTER, steps_per_quarter),
        quantize(end, TICKS_PER_QUARTER, steps_per_quarter),
        pitch,
        part_of_note,
        steps_per_quarter=steps_per_quarter,
        qpm=_first_tempo(parts, source),
        time_signatures=_time_signatures(part_with_signatures, steps_per_quarter),
        instruments=ENSEMBLES[ensemble] if ensemble != "piano" else ("p", "v"),
        key_signatures=_key_signatures(keys, steps_per_quarter),
    )
    notes, range_losses = move_into_range(notes) if ensemble == "chamber" else (notes, Counter())
    return notes, +(losses + build_losses + range_losses + Counter(tunes=n_other_tunes))


def _first_tempo(parts, source):
    """Return the first tempo mark, 120 without one."""
    qpm = next((part.qpm for part in parts if part.qpm), DEFAULT_QPM)
    if not 1 / MAX_QPM <= qpm <= MAX_QPM:
        raise BadMusicFile(f"{source}: a tempo of {qpm:.3g} quarters per minute")
    return qpm


def _check_ranges(parts, source):
    """Refuse numbers that are too large, while they are Python integers."""
    rows = [row for part in parts for row in part.rows]
    if max(end for _, end, _, _ in rows) > MAX_TICKS:
        raise TooLong(f"{source}: longer than {MAX_QUARTERS:,} quarters")
    if any(not 0 <= pitch <= 127 for _, _, pitch, _ in rows):
        raise BadMusicFile(f"{source}: a pitch outside 0-127")


def _corpus_path(name):
    """Return the path of a piece in music21's corpus."""
    from music21 import corpus
    from music21.exceptions21 import Music21Exception

    try:
        work = corpus.getWork(str(name))
    except (Music21Exception, ValueError, OSError) as e:
        raise BadMusicFile(f"{name}: no such file, nor a piece in music21's corpus") from e
    return Path(work[0] if isinstance(work, list) else work)


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
    changes = [change for change in part.signature_changes if change[0] <= MAX_TICKS]
    changes.sort(key=lambda change: change[0])
    as_written = quantize_time_signatures(changes, TICKS_PER_QUARTER, steps_per_quarter)
    signatures = list(join_upbeat(as_written, steps_per_quarter, MAX_UPBEAT_SHARE))
    _, numerator, denominator = signatures[0]
    bar_ticks = 4 * TICKS_PER_QUARTER * numerator // denominator
    if 0 < part.first_bar_ticks < bar_ticks:
        first_step = int(quantize(part.first_bar_ticks - bar_ticks, TICKS_PER_QUARTER, steps_per_quarter))
        signatures[0] = (first_step, numerator, denominator)
    return tuple(signatures)


def _key_signatures(changes, steps_per_quarter):
    """Return the key signatures for a `NoteSequence`."""
    changes = sorted((change for change in changes if change[0] <= MAX_TICKS), key=lambda change: change[0])
    steps = quantize([tick for tick, _ in changes], TICKS_PER_QUARTER, steps_per_quarter).tolist()
    return collect_key_signatures(zip(steps, (fifths for _, fifths in changes)))


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
