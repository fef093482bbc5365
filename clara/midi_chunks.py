"""A MIDI file's chunks and events, as far as they must be known before symusic parses them.

symusic keeps time in 32 bits and wraps, drops notes that never end and tracks that the
header does not count, takes independent songs (format 2) for voices of one, and reads on
where a track breaks off. All of that is refused or mended here: cheaply where a glance at
the bytes excludes it, event by event where not.

Contents: `check`, `with_all_off`, `with_each_off`, `FAR`.
"""

import re
import struct
from collections import Counter

from clara.errors import BadMusicFile, TooLong

# Put before each track's end: at its last tick the pedal up on every channel, and FAR ticks later each
# key up on the channels in use. A note that ends FAR late had no end of its own.
FAR = 0x0FFFFFFF
_FAR_LATER = b"\xff\xff\xff\x7f"
_PEDALS_UP = b"".join(bytes([0, 0xB0 | channel, 64, 0]) for channel in range(16))[1:]
_KEYS_UP = [bytes([0x80 | channel, 0, 0]) + b"".join(bytes([0, key, 0]) for key in range(1, 128))
            for channel in range(16)]
_END_OF_TRACK = b"\xff\x2f\x00"

MAX_TRACKS = 1024
MAX_TICKS = 2**31 - 1 - FAR  # of a track; beyond, symusic's clock would turn over at the keys up
# A track whose events all end where the next begins, and whose keys are keys; long names apart
_DELTA = rb"[\x80-\xff]{0,3}+[\x00-\x7f]"
_DATA = rb"[\x00-\x7f]"
_SIZES = sorted(range(128), key=lambda size: (size not in (3, 4, 2, 0), size))
_WHOLE = re.compile(rb"(?>" + _DELTA + rb"(?:[\x80-\xbf\xe0-\xef]" + _DATA + _DATA + rb"(?>" + _DELTA + _DATA + _DATA + rb")*+"
                    rb"|[\xc0-\xdf]" + _DATA + rb"(?>" + _DELTA + _DATA + rb")*+"
                    rb"|\xff" + _DATA + rb"(?:" + b"|".join(re.escape(bytes([size])) + rb"[\x00-\xff]{%d}" % size
                                                           for size in _SIZES) + rb")))*+")
_NO_WIRE = bytes([*range(0xF0), 0xFF])
LARGE_TRACK = 3 * (MAX_TICKS >> 14)  # bytes; a shorter one cannot last MAX_TICKS by deltas of two bytes
_HIGH = bytes(byte >> 7 for byte in range(256))  # 1 for bytes with the high bit, which a long delta is made of
# tempos, names and lyrics, whose bytes can look like long deltas: type, length, and so many bytes
_SHORT_META = re.compile(rb"\xff[\x01-\x7f](?:" + b"|".join(
    re.escape(bytes([size])) + rb"[\x00-\xff]{%d}" % size for size in range(128)) + b")")


def check(data, name):
    """Refuse what symusic would misread or read beyond its end.

    Parameters
    ----------
    data : bytes of a file
    name : of it, for messages

    Raises
    ------
    BadMusicFile
        If it is not MIDI, counts time in frames, is of format 2, or breaks off.
    TooLong
        If it has more than MAX_TRACKS, or a track of more than MAX_TICKS.
    """
    if data[:4] != b"MThd":
        raise BadMusicFile(f"{name}: not a MIDI file (it does not begin with MThd)")
    if len(data) >= 14 and data[12] & 0x80:
        raise BadMusicFile(f"{name}: time-code division is not supported, only ticks per quarter")
    if data[8:10] == b"\0\2":
        raise BadMusicFile(f"{name}: format 2 holds several independent pieces, only one is supported")
    chunks = list(_chunks(data))
    tracks = [body for kind, body, _ in chunks if kind == b"MTrk"]
    if any(kind == b"MTrk" and not whole for kind, _, whole in chunks):
        raise BadMusicFile(f"{name}: broken MIDI (a track is longer than the file)")
    if len(tracks) > MAX_TRACKS:
        raise TooLong(f"{name}: more than {MAX_TRACKS:,} tracks")
    odd = [body for body in tracks if not _is_plain(body)]
    if any(_may_be_long(body) and _scan(body)[0] > MAX_TICKS for body in odd):
        raise TooLong(f"{name}: a track of more than {MAX_TICKS:,} ticks")
    if not all(_names_keys(body) for body in odd):
        raise BadMusicFile(f"{name}: broken MIDI (a key outside 0-127, or a message out of place)")
    if any(_breaks_off(body) for body in tracks):
        raise BadMusicFile(f"{name}: broken MIDI (a track breaks off inside an event)")


def _chunks(data):
    """(kind, body, whether the body is all there) of each chunk after the header."""
    at = 8 + struct.unpack(">I", data[4:8])[0] if len(data) >= 8 else len(data)
    while at + 8 <= len(data):
        kind, size = struct.unpack(">4sI", data[at:at + 8])
        yield kind, data[at + 8:at + 8 + size], at + 8 + size <= len(data)
        at += 8 + size


def with_all_off(data):
    """The file with every pedal and key released after the end of every track."""
    def all_off(body):
        keys_up = [_KEYS_UP[channel] for channel in range(16) if 0x90 | channel in body]
        return _PEDALS_UP + (_FAR_LATER + b"\0".join(keys_up) if keys_up else b"")
    return _with_endings(data, all_off)


def with_each_off(data):
    """The same with every key released as often as it is down; slower, as it reads all events."""
    def each_off(body):
        down = _scan(body)[1]
        keys_up = b"\0".join(bytes([0x80 | channel, key, 0]) for channel, key in down.elements())
        return _PEDALS_UP + (_FAR_LATER + keys_up if keys_up else b"")
    return _with_endings(data, each_off)


def _with_endings(data, ending):
    """The file with `ending(body)` before the end of each track, and a header that counts them right."""
    chunks, n_tracks = [], 0
    for kind, body, _ in _chunks(data):
        if kind == b"MTrk":
            n_tracks += 1
            more = ending(body)
            body = body[:-3] + more if body.endswith(_END_OF_TRACK) else body + b"\0" + more
            body += b"\0" + _END_OF_TRACK
        chunks.append(struct.pack(">4sI", kind, len(body)) + body)
    return b"".join([data[:10], struct.pack(">H", n_tracks), data[12:14], *chunks])


def _is_plain(body):
    """Whether all deltas take two bytes at most, no key is beyond 127 and no message is out of place, at a glance.

    So it is where no two bytes in a row have the high bit and there is no F0 to FE.
    """
    return b"\1\1" not in body.translate(_HIGH) and not body.translate(None, _NO_WIRE) and len(body) < LARGE_TRACK


def _may_be_long(body):
    """False if a track cannot last MAX_TICKS, by the number of bytes that long deltas are made of."""
    return _most_ticks(body) > MAX_TICKS and _most_ticks(_SHORT_META.sub(b"", body)) > MAX_TICKS


def _most_ticks(body):
    """At most so many ticks are in deltas of two (on events of at least one byte), three and four bytes."""
    high = body.translate(_HIGH)
    return (len(body) // 3 << 14) + (high.count(b"\1\1\0") << 21) + (high.count(b"\1\1\1\0") << 28)


def _names_keys(body):
    """Whether all note events name keys up to 127, and each event ends where the next begins.

    symusic would take a key beyond 127 and write beyond its tables.
    """
    if _WHOLE.fullmatch(body):
        return True
    _, _, whole, beyond = _scan(body)
    return whole and not beyond


def _breaks_off(body):
    """Whether a track has no end and its last event is not whole."""
    return bool(body) and not body.endswith(_END_OF_TRACK) and not _scan(body)[2]


def _scan(body):
    """Of a track: its ticks, a Counter of the (channel, key) that are still down, whether it ends after an event,
    and whether a key is beyond 127 or where the keys are is in doubt."""
    at, ticks, running, down, beyond = 0, 0, 0, Counter(), False
    try:
        while at < len(body):
            delta, at = body[at], at + 1
            if delta & 0x80:
                delta, at = _quantity(body, at - 1)
            ticks += delta
            status = running
            if body[at] & 0x80:
                status, at = body[at], at + 1
                running = status if status < 0xF0 else running  # a channel's status runs on past names and tempos
            beyond |= not status
            if status < 0xA0:  # keys, and what stands before any status
                key = status & 0x0F, body[at]
                beyond |= body[at] > 0x7F
                down[key] += 1 if status & 0x10 and body[at + 1] else -(down[key] > 0)
                at += 2
            elif status < 0xF0:
                at += 1 if 0xC0 <= status < 0xE0 else 2
            elif status == 0xFF and body[at] == 0x2F:
                return ticks, +down, True, beyond
            elif status in (0xF0, 0xFF):
                size, at = _quantity(body, at + (status == 0xFF))
                at += size
            else:  # a message of the wire, or F7, of whose length symusic has its own idea
                beyond = True
    except IndexError:
        return ticks, +down, False, beyond
    return ticks, +down, at == len(body), beyond


def _quantity(body, at):
    """A variable-length quantity of at most four bytes, and the place after it."""
    value = 0
    for length in range(1, 5):
        byte = body[at + length - 1]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, at + length
