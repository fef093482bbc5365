"""Human excerpts for a blind test: as long as the composed pieces, at their tempo, in their encoding.

Every excerpt is the beginning of its piece, as music composed without a prompt begins, too. It passes through the
model's encoding, so its grid, range and parts are those of composed music. The same performer plays both. It knows
time signatures: those of human music are kept if the model plans its own, and all music is in 4/4 otherwise.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from clara.encodings.prompts import DEFAULT_QPM, read_prompt
from clara.errors import ClaraError, NoData, TooShort
from clara.music.expression import Expression
from clara.music.midi import MIDI_SUFFIXES
from clara.music.notes import NoteSequence, crop
from clara.music.read import MUSIC21_PREFIX
from clara.performing.playing import play

MUSIC21_CORPUS = MUSIC21_PREFIX  # in place of a folder: the pieces that music21 installs
# Piano music in music21's corpus; parsing each takes one to three seconds.
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
    title : str
        Composer and piece, or the file's name.
    tokens : list of str
    notes : NoteSequence
    prompt_quarters : float
        0, as a `clara.generation.generator.Sample` without a prompt has.
    seed : int
        Random seed of the performance.
    """

    title: str
    tokens: list[str]
    notes: NoteSequence
    prompt_quarters: float = 0.0
    seed: int = 0

    @cached_property
    def expression(self) -> Expression:
        """Return how the excerpt is played; its own expression, if it carries any, is left out."""
        return play(self.notes, self.seed)


def human_excerpts(
    generator, source: str | Path, n: int, quarters: float, qpm: float | None = None, seed: int = 0
) -> tuple[list[HumanExcerpt], Counter]:
    """Return random excerpts of different pieces.

    Parameters
    ----------
    generator : clara.generation.generator.Generator
        Its encoding and vocabulary are those of the excerpts.
    source : path or str
        Folder with MIDI files at any depth, or MUSIC21_CORPUS.
    n : int
        Largest number of excerpts.
    quarters : float
        Length of each excerpt; shorter pieces are skipped.
    qpm : float, optional
        Tempo in quarters per minute (default: `clara.encodings.prompts.DEFAULT_QPM`).
    seed : int
        Random seed of the choice.

    Returns
    -------
    excerpts : list of HumanExcerpt
    skipped : Counter
        Number of skipped pieces by the name of the error.

    Raises
    ------
    NoData
        If no piece can be used.
    """
    excerpts = []
    skipped = Counter()
    sources = _list_sources(source)
    for i in np.random.default_rng(seed).permutation(len(sources)):
        if len(excerpts) == n:
            break
        try:
            path, title = sources[i]
            excerpt = _read_excerpt(generator, path, title, quarters, qpm or DEFAULT_QPM)
            excerpts.append(replace(excerpt, seed=seed + len(excerpts)))
        except ClaraError as e:
            skipped[type(e).__name__] += 1
    if not excerpts:
        reasons = ", ".join(f"{count} {name}" for name, count in skipped.items())
        reasons = f" ({reasons})" if reasons else ""
        raise NoData(f"{source}: no MIDI file of {quarters:g} quarters to mix in{reasons}")
    return excerpts, skipped


def _list_sources(source):
    """Return (argument of `read_prompt`, title) for each piece."""
    if source == MUSIC21_CORPUS:
        return [(MUSIC21_PREFIX + name, title) for name, title in MUSIC21_PIECES.items()]
    paths = sorted(path for path in Path(source).rglob("*") if path.suffix.lower() in MIDI_SUFFIXES and path.is_file())
    return [(path, str(path.relative_to(source).with_suffix(""))) for path in paths]


def _read_excerpt(generator, source, title, quarters, qpm):
    """Return the beginning of a piece; raises a ClaraError if it cannot be read or is too short."""
    notes = read_prompt(source, generator.encoding)[0]
    first = int(notes.start[0])
    n_steps = round(quarters * notes.steps_per_quarter)
    if notes.n_steps - first < n_steps:
        raise TooShort(f"{source}: {notes.quarters:g} quarters")
    beginning = crop(notes, first, first + n_steps)
    tokens = generator.tokenize(beginning)[0]
    decoded = generator.encoding.decode(tokens, qpm=qpm)[0]
    if generator.contexts:  # the model plans time signatures
        decoded = replace(decoded, time_signatures=beginning.time_signatures)
    return HumanExcerpt(title, tokens, replace(decoded, key_signatures=beginning.key_signatures))
