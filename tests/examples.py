"""Music to test with: hypothesis strategies, handwritten pieces and raw MIDI bytes."""

import struct
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from clara.form.plan import NEW, RELATIONS, SILENT, TRANSPOSED, UNKNOWN, Plan
from clara.music.notes import HIGHEST_PIANO_PITCH, LOWEST_PIANO_PITCH, build_notes

REPOSITORY = Path(__file__).parents[1]
REAL_PIECES = ("bach/bwv66.6", "bach/bwv269", "bach/bwv846")
SOURCES = ("bach/1", "bach/2", "bach/sub/3", "chopin/é 1", "chopin/2")


@st.composite
def note_sequences(
    draw,
    steps_per_quarter=12,
    lowest=LOWEST_PIANO_PITCH,
    highest=HIGHEST_PIANO_PITCH,
    parts=1,
    min_notes=0,
    max_notes=30,
):
    """Random notes that meet, overlap, repeat and pause."""
    note = st.tuples(st.integers(0, 120), st.integers(1, 40), st.integers(lowest, highest), st.integers(0, parts - 1))
    start, duration, pitch, part = columns(draw(st.lists(note, min_size=min_notes, max_size=max_notes)), 4)
    return build_notes(start, start + duration, pitch, part, steps_per_quarter=steps_per_quarter)[0]


def columns(rows, n):
    """Return n integer arrays from rows of n numbers."""
    return np.array(rows, dtype=np.int64).reshape(-1, n).T


# (start, duration, pitch) in steps
HANDWRITTEN = {
    "one note": [(0, 1, 60)],
    "chord": [(0, 12, 48), (0, 12, 52), (0, 12, 55), (12, 12, 47), (12, 12, 50), (12, 12, 55)],
    "held under a line": [(0, 96, 36), (0, 12, 60), (12, 24, 62), (36, 60, 64)],
    "rests": [(7, 5, 60), (24, 1, 62), (25 + 200, 3, 64)],
    "repeated": [(0, 3, 60), (3, 3, 60), (6, 6, 60), (12, 1, 60), (13, 1, 60)],
    "range edges": [(0, 4, 21), (0, 4, 108), (4, 4, 22), (4, 4, 107), (8, 2, 21), (8, 2, 108)],
    "two voices": [(0, 24, 72), (0, 6, 55), (6, 6, 57), (12, 6, 59), (18, 6, 60), (24, 12, 71), (24, 12, 62)],
}


def handwritten(name, steps_per_quarter=12):
    """Return a piece of `HANDWRITTEN`, the same steps on any grid."""
    start, duration, pitch = columns(HANDWRITTEN[name], 3)
    notes, losses = build_notes(start, start + duration, pitch, steps_per_quarter=steps_per_quarter)
    assert not +losses
    return notes


def rows(notes):
    """(start, duration, pitch) of each note."""
    return list(zip(notes.start.tolist(), notes.duration.tolist(), notes.pitch.tolist()))


def variable_length(n):
    """MIDI's variable-length quantity."""
    parts = [n & 0x7F]
    while n := n >> 7:
        parts.append(n & 0x7F | 0x80)
    return bytes(reversed(parts))


def event(delta, *body):
    """Any event `delta` ticks after the one before."""
    return variable_length(delta) + bytes(body)


def on(delta, key, velocity=64, channel=0):
    return event(delta, 0x90 | channel, key, velocity)


def off(delta, key, channel=0):
    return event(delta, 0x80 | channel, key, 0)


def pedal(delta, value, channel=0):
    return event(delta, 0xB0 | channel, 64, value)


def program(delta, number, channel=0):
    return event(delta, 0xC0 | channel, number)


def tempo(delta, microseconds_per_quarter):
    return event(delta, 0xFF, 0x51, 3, *microseconds_per_quarter.to_bytes(3, "big"))


def track(*events, end=0):
    """Return a track chunk that ends `end` ticks after its last event."""
    return chunk(b"MTrk", b"".join(events) + event(end, 0xFF, 0x2F, 0))


def chunk(kind, body):
    return struct.pack(">4sI", kind, len(body)) + body


def midi_bytes(*chunks, kind=1, division=480):
    """Return a MIDI file of format `kind`."""
    return chunk(b"MThd", struct.pack(">HHH", kind, len(chunks), division)) + b"".join(chunks)


def melody(seed, n=40):
    """Return a random line over a bass, as two parts."""
    pitch = np.r_[np.random.default_rng(seed).integers(60, 84, n), np.full(n, 48)]
    start = 12 * np.r_[np.arange(n), np.arange(n)]
    return build_notes(start, start + 12, pitch, np.repeat([1, 0], n))[0]


def texts(folder):
    """{name: (time of writing, text)} of all texts of a corpus."""
    return {
        p.relative_to(folder).with_suffix("").as_posix(): (p.stat().st_mtime_ns, p.read_text())
        for p in folder.rglob("*.txt")
    }


def musicxml(*parts, beats=4, names=()):
    """Return a MusicXML score; each part is the inside of its first bar, and of more after </measure><measure>."""
    names = names or [f"Part {i}" for i in range(len(parts))]
    attributes = (
        f"<attributes><divisions>1</divisions><time><beats>{beats}</beats><beat-type>4</beat-type></time></attributes>"
    )
    part_list = "".join(
        f'<score-part id="P{i}"><part-name>{name}</part-name></score-part>' for i, name in enumerate(names)
    )
    music = "".join(
        f'<part id="P{i}"><measure number="1">{attributes}{bars}</measure></part>' for i, bars in enumerate(parts)
    )
    return f'<score-partwise version="4.0"><part-list>{part_list}</part-list>{music}</score-partwise>'


# bars of 4/4 on 12 steps a quarter, as lists of (onset, pitch)
THEME = [(0, 60), (12, 64), (24, 67), (36, 72)]
OTHER_THEME = [(0, 65), (6, 69), (18, 72), (30, 77)]


def up(bar, semitones):
    """Return a bar in another key."""
    return [(onset, pitch + semitones) for onset, pitch in bar]


def bars_to_notes(*bars, time_signatures=((0, 4, 4),), bar_steps=48, duration=6, **settings):
    """Return a piece from lists of (onset, pitch), one for each bar."""
    start, pitch = np.array([(i * bar_steps + onset, pitch) for i, bar in enumerate(bars) for onset, pitch in bar]).T
    return build_notes(start, start + duration, pitch, time_signatures=time_signatures, **settings)[0]


@st.composite
def pieces_with_form(draw, n_bars=12):
    """Random pieces whose bars are new, return, vary, move to another key or stay silent."""
    random_bar = st.lists(st.tuples(st.integers(0, 47), st.integers(48, 72)), min_size=1, max_size=6, unique=True)
    bars = [draw(random_bar)]
    for _ in range(draw(st.integers(0, n_bars - 1))):
        earlier = draw(st.sampled_from(bars))
        kind = draw(st.sampled_from(["exact", "exact", "varied", "transposed", "new", "silent"]))
        if kind == "varied" and earlier:
            bars.append([*earlier[:-1], draw(random_bar)[0]])
        elif kind == "transposed":
            bars.append(up(earlier, draw(st.integers(-3, 3))))
        else:
            bars.append({"new": draw(random_bar), "silent": []}.get(kind, earlier))
    return bars_to_notes(*bars, duration=draw(st.sampled_from([3, 6, 30])))


def open_plan(relations, **columns):
    """Return a plan in 4/4 with open attributes, from (relation, source) or (relation, source, shift) of each bar."""
    relations = [(*row, 0)[:3] for row in relations]
    n = len(relations)
    relation, source, shift = np.array(relations, dtype=np.int64).reshape(n, 3).T.copy()
    attributes = ("key", "chord", "density", "register", "texture", "phrase")
    given = {name: np.array(columns.pop(name, np.full(n, UNKNOWN)), dtype=np.int64) for name in attributes}
    four = np.full(n, 4)
    return Plan(48 * np.arange(n + 1), four, four, relation, source, shift, **given, **columns)


@st.composite
def plans(draw, max_bars=12):
    """Plans of all kinds of bars, some attributes open."""
    n = draw(st.integers(1, max_bars))
    steps_per_quarter = draw(st.sampled_from([4, 12, 24]))
    relations = []
    for bar in range(n):
        relation = draw(st.sampled_from([UNKNOWN, NEW, SILENT] if bar == 0 else range(UNKNOWN, len(RELATIONS))))
        source = draw(st.integers(0, bar - 1)) if relation not in (UNKNOWN, NEW, SILENT) else UNKNOWN
        shift = draw(st.integers(1, 127)) * draw(st.sampled_from([-1, 1])) if relation == TRANSPOSED else 0
        relations.append((relation, source, shift))
    tops = {"key": 23, "chord": 23, "density": 8, "register": 127, "texture": 5, "phrase": 1}
    columns = {name: draw(st.lists(st.integers(UNKNOWN, top), min_size=n, max_size=n)) for name, top in tops.items()}
    plan = open_plan(relations, **columns, home=draw(st.integers(UNKNOWN, 23)), steps_per_quarter=steps_per_quarter)
    meters = [draw(st.sampled_from([(4, 4), (4, 4), (3, 4), (6, 8)])) for _ in range(n)]
    full = np.array([4 * steps_per_quarter * numerator // denominator for numerator, denominator in meters])
    lengths = np.where(
        draw(st.lists(st.booleans(), min_size=n, max_size=n)), full, [draw(st.integers(1, f)) for f in full]
    )
    upbeat = draw(st.integers(0, int(lengths[0]) - 1))
    numerator, denominator = np.array(meters, dtype=np.int64).T.copy()
    begin = np.concatenate([[0], np.cumsum(lengths)]) - upbeat
    return replace(plan, begin=begin, numerator=numerator, denominator=denominator)


def same_plan(plan, other):
    """Return whether two plans are equal in everything."""
    return all(np.array_equal(getattr(plan, field.name), getattr(other, field.name)) for field in fields(Plan))
