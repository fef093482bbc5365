"""A corpus of MIDI files that do harm, each with what must become of it."""

import struct
from dataclasses import dataclass, field

from examples import chunk, event, midi_bytes, off, on, pedal, program, tempo, track, variable_length

from clara.errors import BadMusicFile, NoNotes, TooLong, WrongEnsemble

REFUSALS = (BadMusicFile, NoNotes, TooLong, WrongEnsemble)
NOTE = on(0, 60) + off(480, 60)
REST = event(0x0FFFFFFF, 0xFF, 1, 0)  # the longest that one delta can make, to an empty text
MANY = 20_000  # of anything


@dataclass
class Danger:
    """A file and its fate.

    Attributes
    ----------
    data : bytes of the file
    refused : the error that must be raised, or None if it must be read
    message : what the error's message holds
    n_notes, losses, time_signatures, qpm : of what is read
    """

    data: bytes
    refused: type = None
    message: str = ""
    n_notes: int = 1
    losses: dict = field(default_factory=dict)
    time_signatures: tuple = ((0, 4, 4),)
    qpm: float = 120.0


def time_signature(delta, numerator, power):
    """Return a time signature of numerator / 2**power."""
    return event(delta, 0xFF, 0x58, 4, numerator, power, 24, 8)


def named(name):
    """Return a track's name, in whatever bytes."""
    return event(0, 0xFF, 3, len(name)) + name


def header(size=6, kind=1, n_tracks=1, division=480):
    """Return the header chunk, with the size that it claims to have."""
    return b"MThd" + struct.pack(">IHHH", size, kind, n_tracks, division)


def one(*events, **settings):
    """Return a file of one track."""
    return midi_bytes(track(*events), **settings)


def chunk_of_riff(kind, body):
    """Return a RIFF chunk, padded to an even length."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(kind, body):
    """Return a RIFF file of type RMID that begins with one chunk."""
    inside = b"RMID" + chunk_of_riff(kind, body)
    return b"RIFF" + struct.pack("<I", len(inside)) + inside


def mac_binary(data, size):
    """Return a file behind a MacBinary header that names its size."""
    return (b"\0\x05a.mid" + bytes(128))[:83] + struct.pack(">I", size) + bytes(41) + data


def bare(body):
    """Return a file of one track whose chunk holds just these bytes."""
    return midi_bytes(chunk(b"MTrk", body))


def broken(data, message="broken MIDI"):
    return Danger(data, BadMusicFile, message)


def endless(data, message="track of more than"):
    return Danger(data, TooLong, message)


SOUND = one(NOTE)

TEMPO_AND_METRE = {
    "no tempo": Danger(SOUND),
    "tempo after the end": Danger(one(NOTE, tempo(99_999, 300_000))),
    "tempo 0": Danger(one(tempo(0, 0), NOTE)),
    "tempo inside a note": Danger(one(on(0, 60), tempo(240, 1_000_000), off(240, 60)), qpm=80),
    "tempo of no bytes": Danger(one(NOTE, event(0, 0xFF, 0x51, 0)), qpm=None),
    "tempo of one byte": Danger(one(NOTE, event(0, 0xFF, 0x51, 1, 7)), qpm=None),
    "many tempos": Danger(midi_bytes(track(*(tempo(1, 500_000) for _ in range(MANY))), track(NOTE))),
    "metre 0/4": Danger(one(time_signature(0, 0, 2), NOTE)),
    "metre of 128ths": Danger(one(time_signature(0, 4, 7), NOTE)),
    "metre of 2**31sts": Danger(one(time_signature(0, 4, 31), NOTE)),
    "metre of 2**255ths": Danger(one(time_signature(0, 4, 255), NOTE)),
    "metre after the end": Danger(one(NOTE, time_signature(99_999, 3, 2))),
    "metre inside a bar": Danger(
        one(time_signature(0, 4, 2), time_signature(100, 3, 2), time_signature(7, 255, 2), NOTE),
        time_signatures=((0, 4, 4), (3, 3, 4)),
    ),
    "metre of no bytes": Danger(one(NOTE, event(0, 0xFF, 0x58, 0)), time_signatures=None),
    "many metres": Danger(
        one(*(time_signature(480, 2 + i % 2, 2) for i in range(MANY)), NOTE),
        time_signatures=((0, 4, 4), *((12 * (i + 1), 2 + i % 2, 4) for i in range(MANY))),
    ),
    "key signature of nothing": Danger(one(event(0, 0xFF, 0x59, 0), NOTE)),
    "key signature of 100 sharps": Danger(one(event(0, 0xFF, 0x59, 2, 100, 9), NOTE)),
}

TIME = {
    "tick 2**28": endless(one(REST, NOTE), "quarters"),
    "tick 2**31": endless(one(REST * 8, NOTE)),
    "tick 2**32": endless(one(REST * 16, event(16, 0xFF, 1, 0), NOTE)),  # where 32 bits begin anew
    "tick 2**32 between notes": endless(one(NOTE, REST * 16, event(16, 0xFF, 1, 0), NOTE)),
    "tick 2**31 by short rests": endless(one(event(2**21 - 1, 0xFF, 1, 0) * 1025, NOTE)),
    "tick 2**31 at resolution 32767": endless(one(REST * 8, NOTE, division=32767)),
    "note of 2**31 ticks": endless(one(on(0, 60), REST * 8, off(0, 60))),
    "tempo at tick 2**31": endless(one(NOTE, REST * 8, tempo(0, 1))),
    "end at tick 2**31": endless(one(NOTE, REST * 8)),
    "time code": broken(one(NOTE, division=0xE728), "time-code"),
    "resolution 0": broken(one(NOTE, division=0), "resolution"),
    "resolution 1": Danger(one(on(0, 60), off(1, 60), division=1)),
    "resolution 32767": Danger(one(NOTE, division=32767)),
}

NOTES = {
    "same key five times at once": Danger(one(on(0, 60) * 5, off(480, 60), off(0, 60) * 4), losses={"merged": 4}),
    "same key struck again": Danger(
        one(*(on(120, 60) for _ in range(10)), *(off(120, 60) for _ in range(10))), n_notes=10, losses={"cut": 9}
    ),
    "same key struck again, never up": Danger(
        one(*(on(480, 60) for _ in range(1000))), n_notes=1000, losses={"cut": 998, "unended": 1000}
    ),
    "every key of every channel": Danger(
        one(
            *(on(0, key, channel=c) for c in range(9) for key in range(128)),
            event(480, 0xFF, 1, 0),
            *(off(0, key, channel=c) for c in range(9) for key in range(128)),
        ),
        n_notes=128,
        losses={"merged": 1024},
    ),
    "thousands at once": Danger(
        one(on(0, 60) * MANY, off(480, 60), off(0, 60) * (MANY - 1)), losses={"merged": MANY - 1}
    ),
    "too many at once": endless(one(on(0, 60) * 250_001), "250,000 notes"),
    "only ends": Danger(one(off(0, 60) * 100), NoNotes),
    "only drums": Danger(one(on(0, 36, channel=9), off(9, 36, channel=9)), NoNotes, "drums"),
    "keys beyond 127": broken(one(on(0, 0xBC), off(480, 0xBC)), ""),
    "many pedals": Danger(one(NOTE, *(pedal(1, 127 * (i % 2)) for i in range(MANY)))),
}

TRACKS = {
    "128 tracks": Danger(midi_bytes(*[track(NOTE)] * 128), losses={"merged": 127}),
    "65535 tracks claimed": Danger(header(n_tracks=65535) + track(NOTE)),
    "no track claimed": Danger(header(n_tracks=0) + track(NOTE)),
    "one track claimed of two": Danger(header() + track(NOTE) + track(on(480, 62) + off(480, 62)), n_notes=2),
    "65535 tracks": endless(midi_bytes(*[track(NOTE)] * 65535), "tracks"),
    "no tracks": Danger(midi_bytes(), NoNotes),
    "empty tracks": Danger(midi_bytes(*[chunk(b"MTrk", b"")] * 1000), NoNotes),
    "format 2": broken(midi_bytes(track(NOTE), track(NOTE), kind=2), "independent"),
    "format 7": broken(one(NOTE, kind=7)),
    "format 0 of two tracks": Danger(midi_bytes(track(NOTE), track(NOTE), kind=0), losses={"merged": 1}),
    "name in Latin-1": Danger(one(named("Flöte".encode("latin-1")), NOTE)),
    "name in Shift-JIS": Danger(one(named("ピアノ".encode("shift-jis")), NOTE)),
    "name in UTF-16": Danger(one(named("Klavier".encode("utf-16")), NOTE)),
    "name of zeros": Danger(one(named(b"\0" * 100), NOTE)),
    "text in Latin-1": Danger(one(event(0, 0xFF, 5, 3) + b"\xe9\xe8\xff", event(0, 0xFF, 6, 1) + b"\xff", NOTE)),
}

BYTES = {
    "running status of nothing": broken(one(b"\0\x3c\x40", NOTE)),
    "running status after a tempo": Danger(one(tempo(0, 500_000), NOTE, tempo(0, 500_000), b"\0\x3c\0")),
    "running status after a sysex": broken(one(NOTE, b"\0\xf0\x01\xf7", b"\0\x3c\0"), "without a status byte"),
    "statuses that there are not": broken(one(NOTE, b"\0\xf4", NOTE)),
    "sysex of 256 MB claimed": broken(one(b"\0\xf0\xff\xff\xff\x7f", NOTE)),
    "text of 256 MB claimed": broken(one(b"\0\xff\x01\xff\xff\xff\x7f", NOTE)),
    "sysex of 1 MB": Danger(one(b"\0\xf0" + variable_length(1 << 20) + b"x" * (1 << 20), NOTE)),
    "sysex that never ends": Danger(one(b"\0\xf0\x02\x01\x02", NOTE)),
    "delta of five bytes": Danger(one(b"\x80\x80\x80\x80\x00\x90\x3c\x40", off(480, 60)), REFUSALS),
    "delta of a thousand bytes": broken(one(b"\xff" * 1000 + b"\x7f\x90\x3c\x40", NOTE)),
    "delta without end": broken(bare(b"\xff" * 50)),
    "padded delta": Danger(one(b"\x80\x80\x00\x90\x3c\x40", off(480, 60))),
    "no end of track": Danger(bare(NOTE)),
    "event broken off": broken(bare(NOTE + b"\0\x90\x3c"), "breaks off"),
    "tempo broken off": broken(bare(NOTE + b"\0\xff\x51\x03\x01"), "breaks off"),
    "track of one byte": broken(bare(b"\0"), "breaks off"),
    "track of 4 GB claimed": broken(header() + b"MTrk\xff\xff\xff\xff" + NOTE, "longer than the file"),
    "track of 2 GB claimed": broken(header() + b"MTrk\x80\0\0\0" + NOTE, "longer than the file"),
    "unknown chunk of 4 GB claimed": Danger(SOUND + b"XFIH\xff\xff\xff\xff" + NOTE),
    "unknown chunk between": Danger(midi_bytes(chunk(b"XFIH", b"abc"), track(NOTE))),
    "junk after the end": Danger(SOUND + b"\0" * 1000),
    "header of 4 GB claimed": broken(header(2**32 - 1) + track(NOTE)),
    "header of no bytes": broken(header(0) + track(NOTE)),
    "RIFF": Danger(riff(b"data", SOUND)),
    "RIFF with other chunks before the data": Danger(riff(b"LIST", b"INFO!") + chunk_of_riff(b"data", SOUND)),
    "RIFF without data": broken(riff(b"LIST", SOUND), "no MIDI data"),
    "RIFF that breaks off": Danger(riff(b"data", SOUND)[:40], REFUSALS),
    "MacBinary": Danger(mac_binary(SOUND, size=len(SOUND)) + bytes(90)),
    "MacBinary without a size": Danger(mac_binary(SOUND, size=0)),
    "MacBinary that breaks off": Danger(mac_binary(SOUND, size=len(SOUND))[:150], REFUSALS),
    "longer header": Danger(SOUND[:7] + b"\x08" + SOUND[8:14] + b"\0\0" + SOUND[14:]),
    "RIFF of sound": broken(b"RIFF\x10\0\0\0WAVEdata\x04\0\0\0abcd", "does not begin with MThd"),
    "escape packet": Danger(one(b"\0\xf7\x02\x43\xf7", NOTE)),
    "message in packets while a note sounds": Danger(
        one(on(0, 60), b"\0\xf0\x01\x43", b"\x0a\xf7\x02\x10\xf7", b"\0\xf7\x01\xf8", off(470, 60))
    ),
    "running status after an escape packet": broken(
        one(on(0, 60), b"\0\xf7\x01\xf8", b"\x83\x60\x3c\0"), "without a status byte"
    ),
    "empty escape packet": Danger(one(NOTE, b"\0\xf7\0")),
    "escape packet of 256 MB claimed": broken(one(b"\0\xf7\xff\xff\xff\x7f", NOTE)),
    "empty": broken(b"", "does not begin with MThd"),
    "text": broken(b"not music", "does not begin with MThd"),
    "larger than the cap": endless(SOUND + b"\0" * (16 << 20), "MiB"),
    **{f"cut after {n} bytes": Danger(SOUND[:n], REFUSALS) for n in range(0, len(SOUND), 3)},
}

DANGERS = {**TEMPO_AND_METRE, **TIME, **NOTES, **TRACKS, **BYTES}

# two tracks each, a piano and a solo whose names no decoder may trip over
ENSEMBLES = {
    name: midi_bytes(
        track(named(solo), program(0, 73), NOTE),
        track(named(piano), program(0, 1, 1), on(0, 48, channel=1), off(480, 48, channel=1)),
    )
    for name, solo, piano in [
        ("latin-1", "Flöte".encode("latin-1"), "Flügel".encode("latin-1")),
        ("shift-jis", "フルート".encode("shift-jis"), "ピアノ".encode("shift-jis")),
        ("nothing", b"", b""),
        ("zeros", b"\0\0", b"\0"),
        ("bytes", b"\xff\xfe\xfd", b"\x80\x81"),
    ]
}
