"""The named errors of Clara: each says what was wrong, where, and what to do.

Everything that a person's input can cause derives from `ClaraError`, so that a
script catches one class, prints one line and leaves with status 2, and a batch
driver counts refusals by the class's name.
"""


class ClaraError(Exception):
    """Something about the input, a flag or a file; the message is for a person."""


class BadMusicFile(ClaraError):
    """A file that cannot be read as music."""


class NoNotes(ClaraError):
    """Music was asked for and there is not one note."""


class WrongEnsemble(ClaraError):
    """The parts of a piece are not those that were asked for."""


class TooLong(ClaraError):
    """More notes, bytes or quarters than the caps allow."""


class TooShort(ClaraError):
    """Less music than can be judged."""


class OffGrid(ClaraError):
    """A piece too many of whose onsets lie off the grid that it would be rounded to."""


class UnknownToken(ClaraError):
    """A token that the encoding or the vocabulary does not have."""


class CheckpointMismatch(ClaraError):
    """Two parts of a model on disk, or a model and its data, do not agree."""


class BadSetting(ClaraError):
    """A flag or an argument out of its range."""


class NoData(ClaraError):
    """A source, folder or split without one usable piece."""


class CannotWrite(ClaraError):
    """An output folder or file that cannot be written."""
