"""Scores that music21 reads (its own corpus, MusicXML, Humdrum, ABC) as `NoteSequence`.

Grace notes take no time and are left out, and counted; ties become one note; repeats
are not played out. It is slow, seconds for a long piece: MIDI goes through `clara.midi`.

Contents: `read_score`, `corpus_paths`.
"""

from collections import Counter
from pathlib import Path

import numpy as np

from clara.errors import BadMusicFile, NoData, NoNotes
from clara.notes import mend, quantize

ANALYSES = (".rntxt", ".rntext")  # music21's corpus holds analyses beside the scores; there are no notes in them
TICKS_PER_QUARTER = 10080  # divides by all denominators up to 10: tuplets come out exact


def read_score(source, *, steps_per_quarter=12):
    """Read a score as notes on a grid, all of it as part 0.

    Parameters
    ----------
    source : path of a score, or the name of a piece in music21's corpus (bach/bwv66.6)
    steps_per_quarter : grid to round to

    Returns
    -------
    notes : NoteSequence
    losses : Counter with `grace`, `merged` and `cut`

    Raises
    ------
    BadMusicFile
        If music21 cannot read it.
    NoNotes
        If it holds no pitched note.
    """
    from xml.etree.ElementTree import ParseError

    from music21 import converter, corpus, harmony
    from music21.exceptions21 import Music21Exception

    if Path(source).is_dir():
        raise BadMusicFile(f"{source}: music21 cannot read it (a folder)")
    try:
        parse = corpus.parse if _is_corpus_name(source) else converter.parse
        score = parse(str(source)).stripTies()
    except (Music21Exception, ParseError, ValueError, OSError) as e:
        raise BadMusicFile(f"{source}: music21 cannot read it ({str(e)[:120]})") from e
    told = [n for n in score.flatten().notes if not isinstance(n, harmony.Harmony)]
    sounding = [n for n in told if not n.duration.isGrace and hasattr(n, "pitches") and n.pitches]
    rows = [(n.offset, n.offset + n.quarterLength, p.midi) for n in sounding for p in n.pitches]
    if not rows:
        raise NoNotes(f"{source}: no notes in it")
    start, end = (np.array([round(r[i] * TICKS_PER_QUARTER) for r in rows]) for i in (0, 1))
    notes, losses = mend(quantize(start, TICKS_PER_QUARTER, steps_per_quarter),
                         quantize(end, TICKS_PER_QUARTER, steps_per_quarter), [r[2] for r in rows],
                         steps_per_quarter=steps_per_quarter, qpm=_qpm(score))
    return notes, +(losses + Counter(grace=sum(n.duration.isGrace for n in told)))


def _is_corpus_name(source):
    """True for a name without a suffix that music21 would know from its corpus."""
    return not Path(source).exists()


def _qpm(score):
    """The first tempo mark in quarters per minute, or 120."""
    for _, _, mark in score.metronomeMarkBoundaries():
        if mark.getQuarterBPM():
            return float(mark.getQuarterBPM())
    return 120.0


def corpus_paths(composer):
    """Paths of a composer's pieces in the corpus that music21 installs, sorted.

    Raises
    ------
    NoData
        If there are none.
    """
    from music21 import corpus

    paths = sorted(p for p in corpus.getComposer(composer) if Path(p).suffix not in ANALYSES)
    if not paths:
        raise NoData(f"music21:{composer}: music21's corpus has no such composer (try bach, "
                     "beethoven, corelli, haydn, joplin, monteverdi, mozart or palestrina)")
    return paths
