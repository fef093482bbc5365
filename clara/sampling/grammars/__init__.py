"""Grammars: which tokens may come next in a text of each encoding."""

from clara.errors import BadSetting
from clara.sampling.grammars.base import Grammar
from clara.sampling.grammars.chordwise import ChordwiseGrammar
from clara.sampling.grammars.notewise import NotewiseGrammar
from clara.sampling.grammars.stepwise import FramewiseGrammar, MelodywiseGrammar

__all__ = ["GRAMMARS", "Grammar", "make_grammar"]

# By the name of the encoding. Chamber and quartet are notewise with more tones.
GRAMMARS = {
    "notewise": NotewiseGrammar,
    "chamber": NotewiseGrammar,
    "quartet": NotewiseGrammar,
    "chordwise": ChordwiseGrammar,
    "melodywise": MelodywiseGrammar,
    "framewise": FramewiseGrammar,
}


def make_grammar(encoding, vocab, constraints=None, fixed_melody=None) -> Grammar:
    """Return the grammar of an encoding.

    Parameters
    ----------
    encoding : Encoding
    vocab : Vocab
    constraints : Constraints, optional
    fixed_melody : NoteSequence, optional
        Notes that every text must hold; see `NotewiseGrammar`.

    Raises
    ------
    BadSetting
        If the constraints leave no note, or the encoding cannot hold a fixed melody.
    """
    grammar_class = GRAMMARS[encoding.name]
    if fixed_melody is None:
        return grammar_class(encoding, vocab, constraints)
    if grammar_class is not NotewiseGrammar:
        able = ", ".join(name for name, kind in GRAMMARS.items() if kind is NotewiseGrammar)
        raise BadSetting(f"a fixed melody needs a model with one of the encodings {able}, not {encoding.name}")
    return NotewiseGrammar(encoding, vocab, constraints, fixed_melody)
