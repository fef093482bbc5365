"""A MIDI file's chunks and events, as far as they must be known before symusic parses them.

symusic keeps time in 32 bits and wraps, drops notes that never end and tracks that the
header does not count, takes independent songs (format 2) for voices of one, writes beyond
its tables for keys beyond 127, and reads on where a track breaks off. All of that is
refused or mended here, after one walk over all events (compiled by numba: a walk in Python
takes thirty times as long as symusic's parse).
"""

import struct

import numpy as np

from clara.errors import BadMusicFile, TooLong
from clara.jit import compiled, int64_2d_readonly, uint8_1d_readonly

# A key that is never released is so FAR ticks after the end of its track.
FAR = 0x0FFFFFFF
_FAR_LATER = b"\xff\xff\xff\x7f"
_PEDALS_UP = b"".join(bytes([0, 0xB0 | channel, 64, 0]) for channel in range(16))
_END_OF_TRACK = b"\xff\x2f\x00"
_NOTE_OFF, _CONTROLLER, _PROGRAM, _BEND, _SYSEX, _META, _PEDAL, _END = 0x80, 0xB0, 0xC0, 0xE0, 0xF0, 0xFF, 64, 0x2F

HEADER = 14  # bytes at least
MAX_TRACKS = 1024
READ_ON = (
    8  # bytes that a walk may read behind the file: an event's first ones and a quantity, before it looks where it is
)
MAX_TICKS = 2**31 - 1 - FAR  # of a track; beyond, symusic's clock would turn over at the keys up


def readable(data, name):
    """A file such that symusic reads it rightly, or the reason why there is none.

    Parameters
    ----------
    data : bytes of a file
    name : of it, for messages

    Returns
    -------
    bytes : the file; where a pedal or a key is still down at the end of a track, with the
        pedals released there, and the keys FAR ticks later, each as often as it is down

    Raises
    ------
    BadMusicFile
        If it is not MIDI, counts time in frames, is of format 2, or breaks off.
    TooLong
        If it has more than MAX_TRACKS, or a track of more than MAX_TICKS.
    """
    if data[:4] != b"MThd":
        raise BadMusicFile(f"{name}: not a MIDI file (it does not begin with MThd)")
    if not HEADER <= _header_end(data) <= len(data):
        raise BadMusicFile(f"{name}: broken MIDI (its header breaks off)")
    if data[12] & 0x80:
        raise BadMusicFile(f"{name}: time-code division is not supported, only ticks per quarter")
    if data[8:10] == b"\0\2":
        raise BadMusicFile(f"{name}: format 2 holds several independent pieces, only one is supported")
    chunks = list(_chunks(data))
    places = [place for kind, *place in chunks if kind == b"MTrk"]
    if any(at + size > len(data) for at, size in places):
        raise BadMusicFile(f"{name}: broken MIDI (a track is longer than the file)")
    if len(places) > MAX_TRACKS:
        raise TooLong(f"{name}: more than {MAX_TRACKS:,} tracks")
    file = np.frombuffer(data + bytes(READ_ON), dtype=np.uint8)
    found, down = _walk(file, np.array(places, dtype=np.int64).reshape(-1, 2))
    ticks, whole, beyond, pedalled, n_down = found.T
    if (ticks > MAX_TICKS).any():
        raise TooLong(f"{name}: a track of more than {MAX_TICKS:,} ticks")
    if beyond.any():
        raise BadMusicFile(f"{name}: broken MIDI (a key outside 0-127, or a message out of place)")
    if not whole.all():
        raise BadMusicFile(f"{name}: broken MIDI (a track breaks off inside an event)")
    unended = pedalled | n_down
    if unended.any() or data[10:12] != struct.pack(">H", len(places)):
        return _with_endings(data, chunks, [_ending(d) if u else b"" for d, u in zip(down, unended)])
    return data


def _header_end(data):
    """Where the header ends, by what it says itself."""
    return 8 + int.from_bytes(data[4:8])


def _chunks(data):
    """(kind, where its body begins, size) of each chunk after the header; the last may say more than there is."""
    at = _header_end(data)
    while at + 8 <= len(data):
        kind, size = struct.unpack(">4sI", data[at : at + 8])
        yield kind, at + 8, size
        at += 8 + size


def _ending(down):
    """The events that release all pedals, and the keys that a track leaves down."""
    channels, keys = down.nonzero()
    keys_up = b"\0".join(
        bytes([_NOTE_OFF | channel, key, 0])
        for channel, key in zip(channels.tolist(), keys.tolist())
        for _ in range(down[channel, key])
    )
    return _PEDALS_UP[1:] + (_FAR_LATER + keys_up if keys_up else b"")


def _with_endings(data, chunks, endings):
    """The file with the endings before the end of each track, and a header that counts the tracks right."""
    following, written = iter(endings), []
    for kind, at, size in chunks:
        body = data[at : at + size]
        if kind == b"MTrk" and (more := next(following)):
            body = body[:-3] + more if body.endswith(_END_OF_TRACK) else body + b"\0" + more
            body += b"\0" + _END_OF_TRACK
        written.append(struct.pack(">4sI", kind, len(body)) + body)
    header = data[:10] + struct.pack(">H", len(endings)) + data[12 : _header_end(data)]
    return b"".join([header, *written])


@compiled(uint8_1d_readonly, int64_2d_readonly)
def _walk(file, places):
    """Read the events of tracks, which lie at `places` (begin, size) in a file that has READ_ON bytes more.

    Written for few jumps that depend on the data, which are most of what it costs.

    Returns
    -------
    found : int64 array (n_tracks, 5): its ticks; whether it ends after an event; whether a key is beyond 127 or where
        the keys are is in doubt; whether a pedal is moved; how many keys are down at its end
    down : int32 array (n_tracks, 16, 128), by channel and key how often
    """

    def quantity(at):  # a variable-length quantity of at most four bytes, and the place after it
        byte = np.int64(file[at])
        value, at = byte & 0x7F, at + 1
        for _ in range(3):
            if byte < 0x80:
                break
            byte = np.int64(file[at])
            value, at = value << 7 | byte & 0x7F, at + 1
        return value, at

    found = np.zeros((len(places), 5), dtype=np.int64)
    down = np.zeros((len(places), 16, 128), dtype=np.int32)
    for track in range(len(places)):
        at, end = places[track, 0], places[track, 0] + places[track, 1]
        ticks, running, n_down, beyond, pedalled, ended = 0, 0, 0, False, False, at == end
        while at < end:
            delta, at = quantity(at)
            ticks += delta
            if at >= end:
                break
            fresh = np.int64(file[at] >> 7)
            status = np.int64(file[at]) if fresh else running
            at += fresh
            if status < _SYSEX:  # a channel's status runs on past names and tempos
                running = status
            if _NOTE_OFF <= status < _NOTE_OFF + 0x20:
                channel, key = status & 0x0F, np.int64(file[at])
                pressed = status >> 4 & 1 & (file[at + 1] != 0)
                beyond |= key > 127
                change = pressed - ((1 - pressed) & (down[track, channel, key & 127] > 0))
                down[track, channel, key & 127] += change
                n_down += change
                at += 2
            elif status < _SYSEX:
                beyond |= status == 0
                pedalled |= (status & 0xF0 == _CONTROLLER) & (file[at] == _PEDAL)
                at += 1 if _PROGRAM <= status < _BEND else 2
            elif status == _META and file[at] == _END and at < end:
                ended = True
                break
            elif status == _META or status == _SYSEX:
                length, at = quantity(at + (status == _META))
                at += length
            else:  # a message of the wire, or F7, of whose length symusic has its own idea
                beyond = True
            ended = at == end
        found[track, 0], found[track, 4] = ticks, n_down
        found[track, 1], found[track, 2], found[track, 3] = ended, beyond, pedalled
    return found, down
