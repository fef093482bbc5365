"""Clara: a text language model for music.

Music becomes text, an AWD-LSTM learns the text, and new pieces come out. The names below are imported when they are
first used, so ``import clara`` is fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING:
    from clara.checkpoints.checkpoint import Checkpoint
    from clara.checkpoints.shipped_models import find_model
    from clara.data.corpus import Corpus
    from clara.data.dataloaders import MusicDataLoaders
    from clara.generation.generator import Generator
    from clara.generation.sample import Sample
    from clara.music.midi import write_midi
    from clara.music.notes import NoteSequence, crop
    from clara.music.read import read_music
    from clara.sampling.settings import SamplingSettings
    from clara.training.learner import load_learner, music_learner

__all__ = [
    "Checkpoint",
    "Corpus",
    "Generator",
    "MusicDataLoaders",
    "NoteSequence",
    "Sample",
    "SamplingSettings",
    "crop",
    "find_model",
    "load_learner",
    "music_learner",
    "read_music",
    "write_midi",
]

_MODULE_OF = {
    "Checkpoint": "clara.checkpoints.checkpoint",
    "Corpus": "clara.data.corpus",
    "Generator": "clara.generation.generator",
    "MusicDataLoaders": "clara.data.dataloaders",
    "NoteSequence": "clara.music.notes",
    "Sample": "clara.generation.sample",
    "SamplingSettings": "clara.sampling.settings",
    "crop": "clara.music.notes",
    "find_model": "clara.checkpoints.shipped_models",
    "load_learner": "clara.training.learner",
    "music_learner": "clara.training.learner",
    "read_music": "clara.music.read",
    "write_midi": "clara.music.midi",
}


def __getattr__(name):
    """Import a name of `__all__` when it is first used."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
