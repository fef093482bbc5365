"""The ways to spell music as text, by name.

An encoding has `name`, `settings`, `words`, `steps_per_quarter`, and
`encode(notes) -> (words, losses)`, `decode(words) -> (notes, losses)`,
`transpose_token(word, semitones) -> word or None`. A new one is a module here and
an entry in `ENCODINGS`; `tests/test_encodings.py` then tests it by itself.
"""

from clara.encodings.chordwise import Chordwise
from clara.encodings.framewise import Framewise
from clara.encodings.melodywise import Melodywise
from clara.encodings.notewise import Chamber, Notewise, Quartet
from clara.errors import BadSetting

ENCODINGS = {kind.name: kind for kind in (Notewise, Chamber, Quartet, Chordwise, Melodywise, Framewise)}


def make_encoding(settings):
    """Build an encoding from its `settings` (a dict as stored in a run folder).

    Raises
    ------
    BadSetting
        If there is no encoding of that name.
    """
    settings = dict(settings)
    name = settings.pop("encoding")
    if name not in ENCODINGS:
        raise BadSetting(f"no encoding {name!r}; there are: {', '.join(ENCODINGS)}")
    return ENCODINGS[name](**settings)
