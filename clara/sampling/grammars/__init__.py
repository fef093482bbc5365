"""Grammars: which tokens may come next in a text.

An encoding names its grammar in its attribute `grammar`. To add a grammar, write a subclass of
`clara.sampling.grammars.base.Grammar` and add it to `GRAMMARS`.
"""

from clara.errors import BadSetting
from clara.sampling.grammars.base import Grammar
from clara.sampling.grammars.chordwise import ChordwiseGrammar
from clara.sampling.grammars.notewise import NotewiseGrammar
from clara.sampling.grammars.pairwise import PairwiseGrammar
from clara.sampling.grammars.stepwise import FramewiseGrammar, MelodywiseGrammar

__all__ = ["GRAMMARS", "Grammar", "make_grammar"]

GRAMMARS: dict[str, type[Grammar]] = {
    "notewise": NotewiseGrammar,
    "chordwise": ChordwiseGrammar,
    "melodywise": MelodywiseGrammar,
    "framewise": FramewiseGrammar,
    "pairwise": PairwiseGrammar,
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
    grammar_class = GRAMMARS[encoding.grammar]
    if fixed_melody is None:
        return grammar_class(encoding, vocab, constraints)
    if grammar_class is not NotewiseGrammar:
        raise BadSetting(f"a fixed melody needs notewise text (notewise, chamber or quartet), not {encoding.name}")
    return NotewiseGrammar(encoding, vocab, constraints, fixed_melody)
