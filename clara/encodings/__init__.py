"""The encodings: ways to write music as text, by name.

An encoding is a subclass of `clara.encodings.base.Encoding`. To add one, write a module here and add its
class to `ENCODINGS`; the contract tests in `tests/clara/encodings` then test it, too.
"""

from clara.encodings.base import Encoding
from clara.encodings.chordwise import Chordwise
from clara.encodings.framewise import Framewise
from clara.encodings.melodywise import Melodywise
from clara.encodings.notewise import Chamber, Notewise, Quartet
from clara.errors import BadSetting

__all__ = ["ENCODINGS", "Encoding", "make_encoding"]

ENCODINGS: dict[str, type[Encoding]] = {
    encoding.name: encoding for encoding in (Notewise, Chamber, Quartet, Chordwise, Melodywise, Framewise)
}


def make_encoding(settings: dict) -> Encoding:
    """Build an encoding from its settings.

    Parameters
    ----------
    settings : dict
        The name of the encoding under "encoding", and arguments of its class; `Encoding.settings`
        returns it, and a model's config.json holds it.

    Raises
    ------
    BadSetting
        If there is no encoding of that name, or its class refuses an argument.

    Examples
    --------
    >>> make_encoding({"encoding": "notewise", "steps_per_quarter": 4}).tokens[-1]
    'wait8'
    """
    arguments = dict(settings)
    name = arguments.pop("encoding")
    if name not in ENCODINGS:
        raise BadSetting(f"no encoding {name!r}; there are: {', '.join(ENCODINGS)}")
    try:
        return ENCODINGS[name](**arguments)
    except TypeError as e:
        raise BadSetting(f"encoding {name}: {e}") from e
