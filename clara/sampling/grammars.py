"""The grammar of each encoding.

Contents: `grammar_of`.
"""

from clara.sampling.grammar_chordwise import ChordwiseGrammar
from clara.sampling.grammar_notewise import NotewiseGrammar
from clara.sampling.grammar_stepwise import FramewiseGrammar, MelodywiseGrammar

# by the encoding's name; chamber and quartet are notewise with more tones
GRAMMARS = {"notewise": NotewiseGrammar, "chamber": NotewiseGrammar, "quartet": NotewiseGrammar,
            "chordwise": ChordwiseGrammar, "melodywise": MelodywiseGrammar, "framewise": FramewiseGrammar}


def grammar_of(encoding, vocab, longest_note=None, longest_silence=None):
    """The grammar of an encoding; parameters as `clara.sampling.grammar.Grammar`."""
    return GRAMMARS[encoding.name](encoding, vocab, longest_note, longest_silence)
