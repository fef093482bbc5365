"""A soundfont as symusic needs it to play in tune.

A SoundFont 2 sample has a root key, the key at which it sounds as recorded, and a zone
that uses the sample may name another. symusic 0.5.9 overlooks the zone's (its issue 55),
so that the piano of TimGM6mb sounds one to three octaves too high, differently from key
to key. Writing the zones' root keys into the samples, in memory, mends it.

Layout and numbers: SoundFont Technical Specification 2.04, section 7 and 8.1.2.
"""

import struct

from clara.errors import BadSetting

ROOT_KEY, SAMPLE, INSTRUMENT = 58, 53, 41  # generators
TABLES = (b"phdr", b"pbag", b"pgen", b"inst", b"ibag", b"igen", b"shdr")
PRESET_BYTES, INSTRUMENT_BYTES, SAMPLE_BYTES = 38, 22, 46  # one row of phdr, inst and shdr
PRESET_BAG, INSTRUMENT_BAG, SAMPLE_ROOT = 24, 20, 40  # where in a row the first zone, or the root key, stands
PROGRAM = 20


def fix_root_keys(data, programs):
    """Give samples the root keys that the zones of some programs name.

    Parameters
    ----------
    data : bytes of an .sf2 file
    programs : General MIDI programs (0-127) that must play in tune

    Returns
    -------
    bytes, the soundfont mended

    Raises
    ------
    BadSetting
        If it is not a soundfont.
    """
    mended = bytearray(data)
    try:
        tables = {tag: _table(data, tag) for tag in TABLES}
        for zone in _zones_of_programs(data, tables, programs):
            if SAMPLE in zone and ROOT_KEY in zone:
                mended[tables[b"shdr"][0] + SAMPLE_BYTES * zone[SAMPLE] + SAMPLE_ROOT] = zone[ROOT_KEY]
    except (ValueError, struct.error, IndexError) as e:
        raise BadSetting(f"not a soundfont of the SF2 kind ({e})") from e
    return bytes(mended)


def _table(data, tag):
    """(offset, size in bytes) of a table of the preset data."""
    at = data.index(tag, data.rindex(b"pdta"))
    return at + 8, struct.unpack_from("<I", data, at + 4)[0]


def _zones_of_programs(data, tables, programs):
    """The instrument zones that melodic presets of these programs use."""
    at, size = tables[b"phdr"]
    for preset in range(size // PRESET_BYTES - 1):
        program, bank = struct.unpack_from("<HH", data, at + PRESET_BYTES * preset + PROGRAM)
        if bank or program not in programs:
            continue
        for zone in _zones(
            data, at + PRESET_BYTES * preset + PRESET_BAG, PRESET_BYTES, tables[b"pbag"][0], tables[b"pgen"][0]
        ):
            if INSTRUMENT in zone:
                row = tables[b"inst"][0] + INSTRUMENT_BYTES * zone[INSTRUMENT]
                yield from _zones(data, row + INSTRUMENT_BAG, INSTRUMENT_BYTES, tables[b"ibag"][0], tables[b"igen"][0])


def _zones(data, first_bag_at, row_bytes, bags, generators):
    """The generators (number: amount) of each zone of the preset or instrument in one row."""
    first, last = (struct.unpack_from("<H", data, first_bag_at + i * row_bytes)[0] for i in (0, 1))
    for bag in range(first, last):
        begin, end = (struct.unpack_from("<H", data, bags + 4 * (bag + i))[0] for i in (0, 1))
        yield dict(struct.unpack_from("<HH", data, generators + 4 * g) for g in range(begin, end))
