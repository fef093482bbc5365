"""Check the chunks and events of a MIDI file before symusic parses them, and repair what can be.

A RIFF file of type RMID (.rmi) holds a MIDI file in its `data` chunk, which is taken out first. So is a file behind
a MacBinary header, which old programs of the Macintosh put before it.

symusic keeps time in 32 bits and wraps. It drops notes that never end and tracks that the header does not count. It
takes independent songs (format 2) for voices of one, and writes beyond its tables for keys above 127. It reads on
where a track breaks off, and misreads escape packets (F7). All of that is refused or repaired here, after one walk
over all events. numba compiles the walk; in Python it would take thirty times as long as symusic's parser.
"""

import struct

import numpy as np

from clara.errors import BadMusicFile, TooLong
from clara.jit import compiled, int64_2d_readonly, uint8_1d

UNENDED_TICKS = 0x0FFFFFFF  # a key that is never released is released this long after the end of its track
_UNENDED_DELTA = b"\xff\xff\xff\x7f"  # the same as a variable-length quantity
_PEDALS_UP = b"".join(bytes([0, 0xB0 | channel, 64, 0]) for channel in range(16))
_END_OF_TRACK = b"\xff\x2f\x00"
_NOTE_OFF, _CONTROLLER, _PROGRAM, _BEND, _SYSEX, _ESCAPE, _META = 0x80, 0xB0, 0xC0, 0xE0, 0xF0, 0xF7, 0xFF
_PEDAL, _END = 64, 0x2F
_NO_STATUS, _KEY_TOO_HIGH = 1, 2  # faults of an event; others are its status
MAC_BINARY_BYTES = 128  # of a MacBinary header; the size of the file behind it is at bytes 83 to 86

MIN_HEADER_BYTES = 14
MAX_TRACKS = 1024
MAX_EVENTS = 1_000_000  # of a file; at this limit reading takes 2 seconds and 200 MB
# Bytes that the walk may read behind the file: the first ones of an event and a quantity, before it checks its place.
PADDING_BYTES = 8
MAX_TICKS = 2**31 - 1 - UNENDED_TICKS  # of a track; beyond, symusic's clock would wrap at the added releases


def repair_midi(data: bytes, name: str) -> bytes:
    """Return a file that symusic reads correctly, or raise the reason why there is none.

    Pedals and keys may still be down at the end of a track. The returned file releases the pedals
    there, and the keys UNENDED_TICKS later, each as often as it is down.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        Its name, for messages.

    Raises
    ------
    BadMusicFile
        If the file is not MIDI, counts time in frames, is of format 2, or breaks off.
    TooLong
        If it has more than MAX_TRACKS tracks or MAX_EVENTS events, or a track of more than MAX_TICKS ticks.
    """
    data = _skip_mac_binary(_unwrap_riff(data, name))
    if data[:4] != b"MThd":
        raise BadMusicFile(f"{name}: not a MIDI file (it does not begin with MThd)")
    if not MIN_HEADER_BYTES <= _header_end(data) <= len(data):
        raise BadMusicFile(f"{name}: broken MIDI (its header breaks off)")
    if _header_end(data) > MIN_HEADER_BYTES:  # the standard allows it, symusic does not
        data = data[:4] + struct.pack(">I", 6) + data[8:MIN_HEADER_BYTES] + data[_header_end(data) :]
    if data[12] & 0x80:
        raise BadMusicFile(f"{name}: time-code division is not supported, only ticks per quarter")
    if data[8:10] == b"\0\2":
        raise BadMusicFile(f"{name}: format 2 holds several independent pieces, only one is supported")
    chunks = list(_chunks(data))
    tracks = [(begin, size) for kind, begin, size in chunks if kind == b"MTrk"]
    if any(begin + size > len(data) for begin, size in tracks):
        raise BadMusicFile(f"{name}: broken MIDI (a track is longer than the file)")
    if len(tracks) > MAX_TRACKS:
        raise TooLong(f"{name}: more than {MAX_TRACKS:,} tracks")
    file = np.frombuffer(bytearray(data) + bytes(PADDING_BYTES), dtype=np.uint8)
    summary, keys_down = _walk(file, np.array(tracks, dtype=np.int64).reshape(-1, 2))
    ticks, complete, faults, pedal_used, n_keys_down, n_escapes, n_events = summary.T
    if n_events.sum() > MAX_EVENTS:
        raise TooLong(f"{name}: more than {MAX_EVENTS:,} events")
    if (ticks > MAX_TICKS).any():
        raise TooLong(f"{name}: a track of more than {MAX_TICKS:,} ticks")
    if faults.any():
        raise BadMusicFile(f"{name}: broken MIDI ({_describe_fault(int(faults[faults.nonzero()][0]))})")
    if not complete.all():
        raise BadMusicFile(f"{name}: broken MIDI (a track breaks off inside an event)")
    if n_escapes.any():
        data = file[: len(data)].tobytes()
    needs_releases = pedal_used | n_keys_down
    if needs_releases.any() or data[10:12] != struct.pack(">H", len(tracks)):
        releases = [_releases(keys) if needed else b"" for keys, needed in zip(keys_down, needs_releases)]
        return _add_releases(data, chunks, releases)
    return data


def _unwrap_riff(data, name):
    """Return the MIDI file inside a RIFF file of type RMID; other bytes as they are."""
    if data[:4] != b"RIFF" or data[8:12] != b"RMID":
        return data
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack("<4sI", data[at : at + 8])
        if kind == b"data":
            return data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2  # chunks begin at even positions
    raise BadMusicFile(f"{name}: broken RIFF file (no MIDI data in it)")


def _skip_mac_binary(data):
    """Return the MIDI file behind a MacBinary header; other bytes as they are."""
    if data[:1] != b"\0" or data[MAC_BINARY_BYTES : MAC_BINARY_BYTES + 4] != b"MThd":
        return data
    size = int.from_bytes(data[83:87])  # of the file itself; a second part of the Macintosh may follow
    return data[MAC_BINARY_BYTES : MAC_BINARY_BYTES + size] if size else data[MAC_BINARY_BYTES:]


def _describe_fault(fault):
    """Return what is wrong with an event."""
    if fault == _NO_STATUS:
        return "an event without a status byte"
    if fault == _KEY_TOO_HIGH:
        return "a key outside 0-127"
    return f"status byte {fault:X}, a message between devices that a file cannot hold"


def _header_end(data):
    """Return where the header ends, by its own length field."""
    return 8 + int.from_bytes(data[4:8])


def _chunks(data):
    """Yield (kind, begin of the body, size) of each chunk after the header; the last size may exceed the file."""
    at = _header_end(data)
    while at + 8 <= len(data):
        kind, size = struct.unpack(">4sI", data[at : at + 8])
        yield kind, at + 8, size
        at += 8 + size


def _releases(keys_down):
    """Return the events that release all pedals and the keys (channel, key) that a track leaves down."""
    channels, keys = keys_down.nonzero()
    keys_up = b"\0".join(
        bytes([_NOTE_OFF | channel, key, 0])
        for channel, key in zip(channels.tolist(), keys.tolist())
        for _ in range(keys_down[channel, key])
    )
    return _PEDALS_UP[1:] + (_UNENDED_DELTA + keys_up if keys_up else b"")


def _add_releases(data, chunks, releases):
    """Return the file with releases before the end of each track and a header that counts the tracks correctly."""
    next_releases = iter(releases)
    written = []
    for kind, begin, size in chunks:
        body = data[begin : begin + size]
        if kind == b"MTrk" and (events := next(next_releases)):
            body = body[:-3] + events if body.endswith(_END_OF_TRACK) else body + b"\0" + events
            body += b"\0" + _END_OF_TRACK
        written.append(struct.pack(">4sI", kind, len(body)) + body)
    header = data[:10] + struct.pack(">H", len(releases)) + data[12 : _header_end(data)]
    return b"".join([header, *written])


@compiled(uint8_1d, int64_2d_readonly)
def _walk(file, tracks):
    """Read all events of the tracks at `tracks` (begin, size) in a file with PADDING_BYTES more bytes.

    An escape packet (F7) is laid out like a system exclusive message (F0), but symusic reads it in
    another way. Each F7 is overwritten with F0, which symusic skips.

    Most of the cost is in branches that depend on the data, so the code has few of them.

    Returns
    -------
    summary : int64 array, shape (n_tracks, 7)
        Ticks; whether the track ends after an event; the last fault (_NO_STATUS, _KEY_TOO_HIGH, or the
        status of an event of no certain length) or 0; whether a pedal is used; how many keys are down
        at the end; how many escape packets were overwritten; how many events there are.
    keys_down : int32 array, shape (n_tracks, 16, 128)
        How often each key of each channel is down at the end.
    """

    def read_quantity(at):  # a variable-length quantity of at most four bytes, and the position after it
        byte = np.int64(file[at])
        value, at = byte & 0x7F, at + 1
        for _ in range(3):
            if byte < 0x80:
                break
            byte = np.int64(file[at])
            value, at = value << 7 | byte & 0x7F, at + 1
        return value, at

    summary = np.zeros((len(tracks), 7), dtype=np.int64)
    keys_down = np.zeros((len(tracks), 16, 128), dtype=np.int32)
    for track in range(len(tracks)):
        at, end = tracks[track, 0], tracks[track, 0] + tracks[track, 1]
        ticks, running_status, n_keys_down, n_escapes, n_events = 0, 0, 0, 0, 0
        fault, pedal_used, complete = 0, False, at == end
        while at < end:
            delta, at = read_quantity(at)
            ticks += delta
            n_events += 1
            if at >= end:
                break
            has_status = np.int64(file[at] >> 7)
            status = np.int64(file[at]) if has_status else running_status
            at += has_status
            if status < _SYSEX:  # the running status of a channel continues after names and tempos
                running_status = status
            if _NOTE_OFF <= status < _NOTE_OFF + 0x20:
                channel, key = status & 0x0F, np.int64(file[at])
                is_press = status >> 4 & 1 & (file[at + 1] != 0)
                fault = _KEY_TOO_HIGH if key > 127 else fault
                change = is_press - ((1 - is_press) & (keys_down[track, channel, key & 127] > 0))
                keys_down[track, channel, key & 127] += change
                n_keys_down += change
                at += 2
            elif status < _SYSEX:
                fault = _NO_STATUS if status == 0 else fault
                pedal_used |= (status & 0xF0 == _CONTROLLER) & (file[at] == _PEDAL)
                at += 1 if _PROGRAM <= status < _BEND else 2
            elif status == _META and file[at] == _END and at < end:
                complete = True
                break
            elif status in (_META, _SYSEX, _ESCAPE):
                if status == _ESCAPE:
                    file[at - 1] = _SYSEX
                    n_escapes += 1
                if status != _META:
                    running_status = 0  # as the MIDI standard says; symusic would drop the note
                length, at = read_quantity(at + (status == _META))
                at += length
            else:  # a real-time message, whose length symusic reads in its own way
                fault = status
            complete = at == end
        summary[track, 0], summary[track, 4], summary[track, 5] = ticks, n_keys_down, n_escapes
        summary[track, 1], summary[track, 2], summary[track, 3] = complete, fault, pedal_used
        summary[track, 6] = n_events
    return summary, keys_down
