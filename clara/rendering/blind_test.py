"""Human excerpts for a blind test: as long as the composed pieces, at their tempo, in their words.

All begin where their piece begins, as what is composed from nothing does. They go through the model's text, so that
grid, range and parts are those of composed music, and lose their metre there as it has none.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clara.encodings.prompts import DEFAULT_QPM, MUSIC21, read_prompt
from clara.errors import ClaraError, NoData, TooShort
from clara.music.notes import NoteSequence, crop

MUSIC21_CORPUS = MUSIC21  # in place of a folder: what music21 installs
SUFFIXES = (".mid", ".midi")
# Piano music in music21's corpus, each parsed in one to three seconds.
MUSIC21_PIECES = {
    "bach/bwv846": "J. S. Bach, The Well-Tempered Clavier I, no. 1",
    "chopin/mazurka06-2": "Chopin, Mazurka op. 6 no. 2",
    "cpebach/h186": "C. P. E. Bach, H. 186",
    "joplin/maple_leaf_rag": "Joplin, Maple Leaf Rag",
    "mozart/k545/movement1_exposition": "Mozart, Sonata K. 545, first movement",
    "schoenberg/opus19/movement2": "Schoenberg, op. 19 no. 2",
    "schoenberg/opus19/movement6": "Schoenberg, op. 19 no. 6",
    "schumann_clara/polonaise_op1n1": "Clara Schumann, Polonaise op. 1 no. 1",
    "schumann_clara/polonaise_op1n2": "Clara Schumann, Polonaise op. 1 no. 2",
    "schumann_clara/polonaise_op1n3": "Clara Schumann, Polonaise op. 1 no. 3",
    "schumann_clara/polonaise_op1n4": "Clara Schumann, Polonaise op. 1 no. 4",
}


@dataclass(frozen=True)
class HumanExcerpt:
    """The beginning of a piece by a human.

    Attributes
    ----------
    title : composer and piece, or the file's name
    tokens : list of str
    notes : NoteSequence
    prompt_quarters : 0, as a `clara.generator.Sample` has
    """

    title: str
    tokens: list
    notes: NoteSequence
    prompt_quarters: float = 0.0


def human_excerpts(generator, source, n, quarters, qpm=None, seed=0):
    """Excerpts of different pieces, chosen by chance.

    Parameters
    ----------
    generator : clara.generator.Generator, in whose words they are spelled
    source : folder with MIDI files, at any depth, or INSTALLED
    n : how many at most
    quarters : length of each; shorter pieces are passed over
    qpm : tempo, or None for `clara.generator.DEFAULT_QPM`
    seed : of the choice

    Returns
    -------
    excerpts : list of Excerpt
    passed_over : Counter, by the name of the error

    Raises
    ------
    NoData
        If there is not one.
    """
    found, passed_over = [], Counter()
    sources = _sources(source)
    for i in np.random.default_rng(seed).permutation(len(sources)):
        if len(found) == n:
            break
        try:
            found.append(_excerpt(generator, *sources[i], quarters, qpm or DEFAULT_QPM))
        except ClaraError as e:
            passed_over[type(e).__name__] += 1
    if not found:
        why = f" ({', '.join(f'{many} {name}' for name, many in passed_over.items())})" if passed_over else ""
        raise NoData(f"{source}: no MIDI file of {quarters:g} quarters to mix in{why}")
    return found, passed_over


def _sources(source):
    """(what `read_prompt` takes, title) of each piece there is."""
    if source == MUSIC21_CORPUS:
        return [(MUSIC21 + name, title) for name, title in MUSIC21_PIECES.items()]
    return [
        (path, str(path.relative_to(source).with_suffix("")))
        for path in sorted(Path(source).rglob("*"))
        if path.suffix.lower() in SUFFIXES and path.is_file()
    ]


def _excerpt(generator, source, title, quarters, qpm):
    """The beginning of a piece; raises a ClaraError where it cannot be read or is too short."""
    notes = read_prompt(source, generator.encoding)[0]
    first, steps = int(notes.start[0]), round(quarters * notes.steps_per_quarter)
    if notes.n_steps - first < steps:
        raise TooShort(f"{source}: {notes.quarters:g} quarters")
    words = generator.tokenize(crop(notes, first, first + steps))[0]
    return HumanExcerpt(title, words, generator.encoding.decode(words, qpm=qpm)[0])
