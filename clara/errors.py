"""The named errors of Clara: each message says what is wrong, where, and what to do.

Every error that a person's input can cause derives from `ClaraError`. A script catches this one
class, prints one line and exits with status 2. A batch job counts refused files by the name of
the class.
"""


class ClaraError(Exception):
    """An error in the input, a flag or a file; the message is for a person."""


class BadMusicFile(ClaraError):
    """A file cannot be read as music."""


class NoNotes(ClaraError):
    """The music holds no notes."""


class LostNotes(ClaraError):
    """Too many notes of a score cannot be read."""


class WrongEnsemble(ClaraError):
    """The parts of a piece are not those of the ensemble."""


class TooLong(ClaraError):
    """The music exceeds the limits on notes, bytes or quarters."""


class TooShort(ClaraError):
    """There is too little music to judge."""


class OffGrid(ClaraError):
    """Too many onsets of a piece lie off the grid that it would be rounded to."""


class UnknownToken(ClaraError):
    """A token does not belong to the encoding or the vocabulary."""


class CheckpointMismatch(ClaraError):
    """Two parts of a model on disk, or a model and its data, do not agree."""


class BadSetting(ClaraError):
    """A flag or an argument is out of its range."""


class BadPlan(ClaraError):
    """A form, or the plan of a piece, contradicts itself or does not fit the piece."""


class NoData(ClaraError):
    """A source, folder or split holds no usable piece."""


class CannotWrite(ClaraError):
    """An output folder or file cannot be written."""


class OutsideFolder(ClaraError):
    """A file names another file outside its folder."""
