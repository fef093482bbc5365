"""The members of a critic's ensemble, one class each, by type.

To add a member, write one module with its features, its network and its training (a subclass of
`critic.members.base.Member`), and add it to `MEMBERS`. The contract test in `tests/critic/members/test_contract.py`
then covers it.
"""

from critic.members.boosted_trees import BoostedTreesMember
from critic.members.descriptors import DescriptorMember
from critic.members.piano_roll import PianoRollMember
from critic.members.self_similarity import SelfSimilarityMember
from critic.members.text import TextMember

__all__ = ["MEMBERS", "BoostedTreesMember", "DescriptorMember", "PianoRollMember", "SelfSimilarityMember", "TextMember"]

MEMBERS = {
    member.type: member
    for member in (TextMember, PianoRollMember, DescriptorMember, BoostedTreesMember, SelfSimilarityMember)
}
