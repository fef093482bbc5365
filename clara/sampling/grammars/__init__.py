"""The grammar of each encoding."""

from clara.errors import BadSetting
from clara.sampling.grammars.chordwise import ChordwiseGrammar
from clara.sampling.grammars.notewise import NotewiseGrammar
from clara.sampling.grammars.stepwise import FramewiseGrammar, MelodywiseGrammar

# by the encoding's name; chamber and quartet are notewise with more tones
GRAMMARS = {
    "notewise": NotewiseGrammar,
    "chamber": NotewiseGrammar,
    "quartet": NotewiseGrammar,
    "chordwise": ChordwiseGrammar,
    "melodywise": MelodywiseGrammar,
    "framewise": FramewiseGrammar,
}


def grammar_of(encoding, vocab, rules=None, line=None):
    """The grammar of an encoding; parameters as `clara.sampling.grammars.base.Grammar` and `NotewiseGrammar`.

    Raises
    ------
    BadSetting
        If the rules leave nothing, or a line is to be held in text that has no ends.
    """
    kind = GRAMMARS[encoding.name]
    if line is None:
        return kind(encoding, vocab, rules)
    if kind is not NotewiseGrammar:
        raise BadSetting(f"a line can be held in notewise text and its kin, not in {encoding.name}")
    return kind(encoding, vocab, rules, line)
