"""Fix a soundfont so that symusic plays it in tune.

The root key of a SoundFont 2 sample is the key at which it sounds as recorded; a zone that uses the sample may override
it. symusic 0.5.9 ignores the override (its issue 55), so the piano of TimGM6mb sounds one to three octaves too high.
`fix_root_keys` writes the root keys of the zones into the samples, in memory.

Layout and numbers: SoundFont Technical Specification 2.04, sections 7 and 8.1.2.
"""

import struct
from collections.abc import Iterable

from clara.errors import BadSetting

ROOT_KEY, SAMPLE, INSTRUMENT = 58, 53, 41  # generator numbers
TABLES = (b"phdr", b"pbag", b"pgen", b"inst", b"ibag", b"igen", b"shdr")
PRESET_BYTES, INSTRUMENT_BYTES, SAMPLE_BYTES = 38, 22, 46  # size of a row of phdr, inst and shdr
PRESET_PROGRAM = 20  # offset of program and bank in a row of phdr
PRESET_BAG, INSTRUMENT_BAG = 24, 20  # offset of the first zone in a row of phdr and inst
SAMPLE_ROOT_KEY = 40  # offset of the root key in a row of shdr
BAG_BYTES = GENERATOR_BYTES = 4  # size of a row of pbag or ibag, and of pgen or igen


def fix_root_keys(data: bytes, programs: Iterable[int]) -> bytes:
    """Give samples the root keys that the zones of some programs set.

    Parameters
    ----------
    data : bytes
        The content of an .sf2 file.
    programs : iterable of int
        General MIDI programs (0-127) that must play in tune.

    Returns
    -------
    bytes
        The fixed soundfont.

    Raises
    ------
    BadSetting
        If the data is not a soundfont.
    """
    fixed = bytearray(data)
    try:
        tables = {tag: _find_table(data, tag) for tag in TABLES}
        samples = tables[b"shdr"][0]
        for zone in _zones_of_programs(data, tables, programs):
            if SAMPLE in zone and ROOT_KEY in zone:
                fixed[samples + SAMPLE_BYTES * zone[SAMPLE] + SAMPLE_ROOT_KEY] = zone[ROOT_KEY]
    except (ValueError, struct.error, IndexError) as e:
        raise BadSetting(f"not an SF2 soundfont ({e})") from e
    return bytes(fixed)


def _find_table(data, tag):
    """Return (offset, size in bytes) of a table of the preset data."""
    header = data.index(tag, data.rindex(b"pdta"))
    return header + 8, struct.unpack_from("<I", data, header + 4)[0]


def _zones_of_programs(data, tables, programs):
    """Yield the instrument zones that the melodic presets of these programs use."""
    presets, size = tables[b"phdr"]
    for preset in range(size // PRESET_BYTES - 1):
        row = presets + PRESET_BYTES * preset
        program, bank = struct.unpack_from("<HH", data, row + PRESET_PROGRAM)
        if bank or program not in programs:
            continue
        for zone in _zones(data, row + PRESET_BAG, PRESET_BYTES, tables[b"pbag"][0], tables[b"pgen"][0]):
            if INSTRUMENT in zone:
                first_bag = tables[b"inst"][0] + INSTRUMENT_BYTES * zone[INSTRUMENT] + INSTRUMENT_BAG
                yield from _zones(data, first_bag, INSTRUMENT_BYTES, tables[b"ibag"][0], tables[b"igen"][0])


def _zones(data, first_bag_offset, row_bytes, bags, generators):
    """Yield the generators (number: amount) of each zone of a preset or instrument."""

    def read_number(offset):
        return struct.unpack_from("<H", data, offset)[0]

    # A row names its first zone; the next row names the first zone after its last one. Zones name generators likewise.
    first, last = read_number(first_bag_offset), read_number(first_bag_offset + row_bytes)
    for bag in range(first, last):
        begin, end = read_number(bags + BAG_BYTES * bag), read_number(bags + BAG_BYTES * (bag + 1))
        rows = range(begin, end)
        yield dict(struct.unpack_from("<HH", data, generators + GENERATOR_BYTES * row) for row in rows)
