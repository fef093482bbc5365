"""Plans as text files that people read and edit: one line for each bar.

    Clara plan 1
    home: C major
    steps per quarter: 12

    bar, time signature, relation,        key,     chord, density, register, texture, phrase
    1,   4/4,            new,             C major, C,     4,       E4,       2,       starts
    2,   4/4,            rhythm 1,        C major, G,     4,       D4,       2,       continues
    3,   4/4,            transposed 1 +2, C major, Dm,    4,       F#4,      2,       continues
    4,   ,               varied 2

The relation is one of `new`, `silent`, `exact N`, `varied N`, `rhythm N` and `transposed N +K`, where N is an earlier
bar and K a number of semitones. An empty cell leaves it to the generator; an empty time signature is that of the bar
before. Spaces do not matter, and lines that begin with `#` are comments.

A bar that is shorter than its time signature says how long it lasts, as a part of a whole note: `4/4 lasting 1/4`. In
music that begins inside a bar, the first bar has the number 0 and says what part of it sounds: `4/4 upbeat 1/4`.
"""

import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from clara.errors import BadPlan, BadSetting
from clara.files import write_atomically
from clara.form.plan import (
    EXACT,
    MAX_BARS,
    MAX_DENSITY,
    MAX_TEXTURE,
    N_PITCHES,
    RELATIONS,
    RHYTHM,
    TRANSPOSED,
    UNKNOWN,
    VARIED,
    Plan,
)
from clara.music.bars import bar_steps, parse_time_signature
from clara.music.keys import TONICS, key_name, parse_key, parse_pitch
from clara.records import shorten

VERSION = 1
FIRST_LINE = "Clara plan"
HEADER = ("bar", "time signature", "relation", "key", "chord", "density", "register", "texture", "phrase")
MAX_BYTES = 1 << 20  # of a file; the longest plan has a fifth of it
MAX_SHIFT = N_PITCHES - 1  # semitones
MAX_STEPS_PER_QUARTER = 96
PHRASES = ("continues", "starts")
METER = re.compile(r"(\S+)(?: lasting ([0-9]{1,4}/[0-9]{1,4}))?(?: upbeat ([0-9]{1,4}/[0-9]{1,4}))?")
SEPARATORS = ",;\t "  # of cells, at the end of a line
SOURCE, SHIFT = "[0-9]{1,9}", "[+-]?[0-9]{1,9}"
RELATION_EXAMPLES = "new, silent, exact N, varied N, rhythm N or transposed N +K, where N is an earlier bar"
WITH_SOURCE = (EXACT, VARIED, TRANSPOSED, RHYTHM)


def write_plan(plan: Plan, path: str | Path) -> None:
    """Write a plan as a text file.

    Raises
    ------
    CannotWrite
        With the name of the file.
    """
    write_atomically(path, format_plan(plan))


def read_plan(path: str | Path) -> Plan:
    """Read a plan from a text file.

    Raises
    ------
    BadPlan
        If the file cannot be read or is no plan. The message names the bar, what is wrong, and the remedy.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as e:
        raise BadPlan(f"{path}: cannot be read ({getattr(e, 'strerror', None) or e})") from e
    if len(data) > MAX_BYTES:
        raise BadPlan(f"{path}: larger than {MAX_BYTES >> 20} MiB; a plan has at most {MAX_BARS:,} bars")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise BadPlan(f"{path}: not a plan, as it is no text in UTF-8") from e
    return parse_plan(text, path)


def format_plan(plan: Plan) -> str:
    """Return the text of a plan."""
    rows: list[tuple] = [HEADER]
    signatures = _format_time_signatures(plan)
    for bar in range(len(plan)):
        rows.append(
            (
                f"{plan.first_number + bar}",
                signatures[bar],
                _format_relation(plan, bar),
                _format_key(plan.key[bar]),
                _format_chord(plan.chord[bar]),
                _format_number(plan.density[bar]),
                _format_pitch(plan.register[bar]),
                _format_number(plan.texture[bar]),
                "" if plan.phrase[bar] == UNKNOWN else PHRASES[plan.phrase[bar]],
            )
        )
    widths = [max(map(len, column)) + 2 for column in zip(*rows)]
    lines = ["".join(f"{cell},".ljust(width) for cell, width in zip(row, widths)).rstrip(" ") for row in rows]
    lines = [line.removesuffix(",") for line in lines]
    head = [f"{FIRST_LINE} {VERSION}", f"home: {_format_key(plan.home)}".rstrip()]
    return "\n".join([*head, f"steps per quarter: {plan.steps_per_quarter}", "", *lines]) + "\n"


def _format_time_signatures(plan):
    """Return the cell of the time signature of each bar."""
    cells = []
    lengths = np.diff(plan.begin).tolist()
    whole = 4 * plan.steps_per_quarter
    for numerator, denominator, length in zip(plan.numerator.tolist(), plan.denominator.tolist(), lengths):
        is_full = length == bar_steps(numerator, denominator, plan.steps_per_quarter)
        cells.append(f"{numerator}/{denominator}" + ("" if is_full else f" lasting {_format_part(length, whole)}"))
    if cells and plan.begin[0] < 0:
        cells[0] += f" upbeat {_format_part(lengths[0] + int(plan.begin[0]), whole)}"
    return cells


def _format_part(n_steps, whole_steps):
    """Return a part of a whole note such as 1/4."""
    part = Fraction(n_steps, whole_steps)
    return f"{part.numerator}/{part.denominator}"


def _format_relation(plan, bar):
    """Return a relation with its source, such as `transposed 3 -5`."""
    relation = int(plan.relation[bar])
    if relation == UNKNOWN:
        return ""
    source = f" {plan.first_number + plan.source[bar]}" if relation in WITH_SOURCE else ""
    shift = f" {plan.shift[bar]:+d}" if relation == TRANSPOSED else ""
    return RELATIONS[relation] + source + shift


def _format_key(key):
    """Return the name of a key such as `A minor`."""
    return "" if key == UNKNOWN else key_name(key)


def _format_chord(chord):
    """Return the name of a triad such as `Am`."""
    return "" if chord == UNKNOWN else TONICS[chord % 12] + ("" if chord < 12 else "m")


def _format_number(number):
    """Return a number, or nothing if it is open."""
    return "" if number == UNKNOWN else f"{number}"


def _format_pitch(pitch):
    """Return the name of a pitch such as `F#4`."""
    return "" if pitch == UNKNOWN else f"{TONICS[pitch % 12]}{pitch // 12 - 1}"


def parse_plan(text: str, source: object = "plan") -> Plan:
    """Return the plan of a text; `source` names it in the message of an error.

    Raises
    ------
    BadPlan
        If the text is no plan. The message names the bar, what is wrong, and the remedy.
    """
    try:
        return _parse(text)
    except (BadPlan, BadSetting) as e:
        raise BadPlan(f"{source}: {e}") from e


def _parse(text):
    """Return the plan of a text."""
    lines = [line.strip(SEPARATORS) for line in text.splitlines() if not line.lstrip().startswith("#")]
    lines = [line for line in lines if line]
    _check_first_line(lines)
    n_head = next((i for i, line in enumerate(lines) if len(_cells(line)) > 1 and i), len(lines))
    home, steps_per_quarter = _parse_entries(lines[1:n_head])
    first, rows = _split_rows(lines[n_head:])
    last = first + len(rows) - 1
    meters, relations, attributes = [], [], []
    for number, (meter, relation, *cells) in enumerate(rows, start=first):
        try:
            meters.append(_parse_meter(meter, meters[-1] if meters else None, steps_per_quarter))
            relations.append(_parse_relation(relation, number, first, last))
            attributes.append([parse(cell) for parse, cell in zip(ATTRIBUTE_PARSERS, cells)])
        except (BadPlan, BadSetting) as e:
            raise BadPlan(f"bar {number}: {e}") from e
    numerator, denominator, n_steps, n_before = np.array(meters, dtype=np.int64).T.copy()
    if (n_before[0] > 0) != (first == 0):
        raise BadPlan("the number 0 is for a first bar with an upbeat, such as `0, 4/4 upbeat 1/4`, and for no other")
    begin = np.concatenate([[0], np.cumsum(n_steps)]) - n_before[0]
    relation, source, shift = np.array(relations, dtype=np.int64).T.copy()
    attributes = np.array(attributes, dtype=np.int64).T.copy()
    return Plan(begin, numerator, denominator, relation, source, shift, *attributes, home, steps_per_quarter)


def _cells(line):
    """Return the cells of a line; tables of other programs separate them with semicolons or tabs."""
    return [" ".join(cell.split()) for cell in re.split("[,;\t]", line)]


def _check_first_line(lines):
    """Raise BadPlan unless this is a plan of a version that can be read."""
    match = re.fullmatch(rf"{FIRST_LINE} ([0-9]{{1,9}})", " ".join(lines[0].split())) if lines else None
    if not match:
        raise BadPlan(f"not a plan, whose first line is `{FIRST_LINE} {VERSION}`")
    if int(match[1]) != VERSION:
        raise BadPlan(f"a plan of version {int(match[1])}; this Clara reads version {VERSION} only, so write it again")


def _parse_entries(lines):
    """Return the home key and the steps per quarter from the lines above the table."""
    entries = {"home": "", "steps per quarter": "12"}
    for line in lines:
        name, colon, value = " ".join(line.split()).partition(":")
        if not colon or name not in entries:
            raise BadPlan(f"{shorten(line)} is no entry of a plan; above the table stand {' and '.join(entries)}")
        entries[name] = value.strip()
    steps_per_quarter = _parse_number(entries["steps per quarter"], 1, MAX_STEPS_PER_QUARTER, "steps per quarter")
    if steps_per_quarter == UNKNOWN:
        raise BadPlan("the steps per quarter are missing; write them like `steps per quarter: 12`")
    return _parse_key(entries["home"]), steps_per_quarter


def _split_rows(lines):
    """Return the number of the first bar, and as many cells of each bar as there are columns after it."""
    header = ", ".join(HEADER)
    if not lines or ", ".join(_cells(lines[0])).lower() != header:
        raise BadPlan(f"the table must begin with the line `{header}`")
    n_bars = len(lines) - 1
    if not n_bars:
        raise BadPlan("the plan has no bars; write a line for each bar")
    if n_bars > MAX_BARS:
        raise BadPlan(f"the plan has {n_bars:,} bars, and at most {MAX_BARS:,} are possible; leave some out")
    first = 0 if _cells(lines[1])[0] == "0" else 1
    rows = []
    for number, line in enumerate(lines[1:], start=first):
        written, *cells = _cells(line)
        if written != str(number):
            raise BadPlan(f"bar {number}: its line begins with {shorten(written)}; number the bars from 1 on")
        if any(cells[len(HEADER) - 1 :]):
            raise BadPlan(f"bar {number}: more cells than the {len(HEADER)} columns; leave out {shorten(cells[-1])}")
        rows.append([*cells, *[""] * len(HEADER)][: len(HEADER) - 1])
    return first, rows


def _parse_meter(cell, before, steps_per_quarter):
    """Return (numerator, denominator, steps of the bar, steps of it before step 0)."""
    if not cell:
        if before is None:
            raise BadPlan("the time signature is missing; the first bar needs one, such as 4/4")
        cell = f"{before[0]}/{before[1]}"
    match = METER.fullmatch(cell)
    if not match:
        raise BadPlan(f"{shorten(cell)} is no time signature; write it like 3/4, or 3/4 lasting 1/4 for a shorter bar")
    signature, lasting, upbeat = match.groups()
    numerator, denominator = parse_time_signature(signature)
    full = bar_steps(numerator, denominator, steps_per_quarter)
    if lasting:
        n_steps = _parse_part(lasting, full, steps_per_quarter)
    elif full.denominator == 1:
        n_steps = int(full)
    else:
        raise BadPlan(
            f"a bar of {signature} lasts {float(full):g} steps, and a quarter has {steps_per_quarter}; "
            "choose a time signature that lasts a whole number of steps"
        )
    if upbeat and before is not None:
        raise BadPlan("an upbeat is possible in the first bar only; write `lasting` for a shorter bar")
    n_before = n_steps - _parse_part(upbeat, n_steps, steps_per_quarter) if upbeat else 0
    return numerator, denominator, n_steps, n_before


def _parse_part(text, full, steps_per_quarter):
    """Return the steps of a part of a whole note, from 1 to those of a full bar."""
    numerator, denominator = map(int, text.split("/"))
    n_steps = Fraction(4 * steps_per_quarter * numerator, max(1, denominator))
    if not denominator or n_steps.denominator > 1 or not 1 <= n_steps <= ceil(full):
        raise BadPlan(
            f"{shorten(text)} is no part of the bar on the grid of {steps_per_quarter} steps in a quarter; "
            "write a shorter part of a whole note, such as 1/4"
        )
    return int(n_steps)


def _parse_relation(cell, number, first, last):
    """Return (relation, source, shift) of the bar with a number; `first` and `last` are the numbers of the piece."""
    if not cell:
        return UNKNOWN, UNKNOWN, 0
    word, *arguments = cell.lower().split()
    if word not in RELATIONS:
        raise BadPlan(f"{shorten(cell)} is no relation; write {RELATION_EXAMPLES}")
    relation = RELATIONS.index(word)
    patterns = [SOURCE] * (relation in WITH_SOURCE) + [SHIFT] * (relation == TRANSPOSED)
    if len(arguments) != len(patterns) or not all(map(re.fullmatch, patterns, arguments)):
        raise BadPlan(f"{shorten(cell)} is incomplete or says too much; write {RELATION_EXAMPLES}")
    source, shift = [*map(int, arguments), 0, 0][:2]
    if relation in WITH_SOURCE:
        _check_source(source, number, first, last)
    if relation == TRANSPOSED and not 1 <= abs(shift) <= MAX_SHIFT:
        raise BadPlan(
            f"transposed by {shift}; write 1 to {MAX_SHIFT} semitones up (+) or down (-), or `exact {source}`"
        )
    return relation, source - first if relation in WITH_SOURCE else UNKNOWN, shift


def _check_source(source, number, first, last):
    """Raise BadPlan unless a bar returns to an earlier one."""
    remedy = "name an earlier bar" if number > first else "write `new`"
    if source == number:
        raise BadPlan(f"returns to itself; {remedy}")
    if source > last:
        raise BadPlan(f"returns to bar {source}, but the last bar is {last}; {remedy}")
    if source > number:
        raise BadPlan(f"returns to bar {source}, which comes later; {remedy}")
    if source < first:
        raise BadPlan(f"returns to bar {source}, but the first bar is {first}; {remedy}")


def _parse_key(cell):
    """Return the number of a key or a triad, or `UNKNOWN` for an empty cell."""
    if not cell:
        return UNKNOWN
    tonic, is_major = parse_key(cell)
    return tonic + 12 * (not is_major)


def _parse_number(cell, lowest, highest, name):
    """Return a whole number from a range, or `UNKNOWN` for an empty cell."""
    if not cell:
        return UNKNOWN
    if not re.fullmatch("[0-9]{1,4}", cell) or not lowest <= int(cell) <= highest:
        raise BadPlan(f"{name} is {shorten(cell)}; write a whole number from {lowest} to {highest}")
    return int(cell)


def _parse_density(cell):
    """Return a density."""
    return _parse_number(cell, 0, MAX_DENSITY, "density")


def _parse_texture(cell):
    """Return a texture."""
    return _parse_number(cell, 0, MAX_TEXTURE, "texture")


def _parse_register(cell):
    """Return a MIDI number, or `UNKNOWN` for an empty cell."""
    if not cell:
        return UNKNOWN
    pitch = parse_pitch(cell)
    if not 0 <= pitch < N_PITCHES:
        raise BadPlan(
            f"{cell} is out of range; write a pitch from {_format_pitch(0)} to {_format_pitch(N_PITCHES - 1)}"
        )
    return pitch


def _parse_phrase(cell):
    """Return whether a phrase starts, or `UNKNOWN` for an empty cell."""
    if not cell:
        return UNKNOWN
    if cell.lower() not in PHRASES:
        raise BadPlan(f"phrase is {shorten(cell)}; write {' or '.join(PHRASES)}, or leave it empty")
    return PHRASES.index(cell.lower())


# of the cells from the key on
ATTRIBUTE_PARSERS = (_parse_key, _parse_key, _parse_density, _parse_register, _parse_texture, _parse_phrase)
