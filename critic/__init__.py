"""Judge music: is it by a human, which composer is it like, and which pieces of a batch are the best.

The names below load on first use, so that importing the package stays fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from critic.classifier import ComposerClassifier, Critic
    from critic.members.ensemble import Ensemble
    from critic.ranking import RankedPiece, best_and_worst, rank

__all__ = ["ComposerClassifier", "Critic", "Ensemble", "RankedPiece", "best_and_worst", "rank"]

_MODULE_OF = {
    "ComposerClassifier": "critic.classifier",
    "Critic": "critic.classifier",
    "Ensemble": "critic.members.ensemble",
    "RankedPiece": "critic.ranking",
    "best_and_worst": "critic.ranking",
    "inception_score": "critic.scores",
    "rank": "critic.ranking",
}


def __getattr__(name):
    """Import a public name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__():
    """List the public names."""
    return sorted([*globals(), *__all__])
