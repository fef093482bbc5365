"""Judge music: is it by a human, which composer is it like, and which pieces of a batch are the best.

The names below load on first use, so that importing the package stays fast.
"""

from importlib import import_module

_MODULE_OF = {
    "Critic": "critic.classifier",
    "ComposerClassifier": "critic.classifier",
    "RankedPiece": "critic.ranking",
    "best_and_worst": "critic.ranking",
    "rank": "critic.ranking",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name):
    """Import a public name on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__():
    """List the public names."""
    return __all__
