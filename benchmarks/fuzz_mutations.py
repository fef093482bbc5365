"""Mutations of bytes, text, JSON and model folders for `benchmarks/fuzz.py`."""

import json
import random
import re
import struct
from copy import deepcopy

NUMBERS = ["0", "-1", "1.5", "999999999", "9" * 40, "9" * 5000, "1e400", "-0", "1/0", "nan", "٣", "2147483648", ""]
WRONG_NUMBERS = [0, -1, 1.5, 10**9, 10**40, 10**400, 1e-300, float("nan"), float("inf"), True, None]
WRONG_TEXTS = ["", "x", "9" * 9999, "../..", "/etc/passwd", "\0", "\ud800"]
WRONG_GROUPS = [[], {}, [[]], {"a": 1}, [1] * 1000, ["p"] * 1000]
VALUES = [*WRONG_NUMBERS, *WRONG_TEXTS, *WRONG_GROUPS]
NESTED = ["[" * 100_000, '{"a":' * 100_000, "[" * 1000 + "]" * 1000]
MAX_MUTATIONS = 4
NUMBER = 3  # the kind of mutation that replaces a number


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few of them changed, moved, removed, repeated or cut off."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, MAX_MUTATIONS)):
        if not changed:
            break
        i, length = rng.randrange(len(changed)), rng.choice([1, 2, 4, 16, 64])
        kind = rng.choice([0, 1, 2, 3, 4, 5] * 4 + [6])  # cut off rarely
        if kind == 0:
            changed[i] = rng.randrange(256)
        elif kind == 1:
            changed[i] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del changed[i : i + length]
        elif kind == 3:
            changed[i:i] = changed[i : i + length] * rng.choice([1, 2, 50])
        elif kind == 4:
            changed[i:i] = rng.randbytes(length)
        elif kind == 5:
            changed[i : i + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0"])
        else:
            del changed[i:]
    return bytes(changed)


def mutate_text(text: str, rng: random.Random) -> str:
    """Return text with a few lines, words, numbers or characters changed."""
    numbers_alone = rng.random() < 0.5  # so that more texts stay well-formed
    for _ in range(rng.randint(1, MAX_MUTATIONS)):
        kind = (
            NUMBER if numbers_alone else rng.choice([0, 1, 2, 3, 3, 4, 5, 6, 6] * 4 + [7])
        )  # cut off rarely, since that ends the mutations
        lines = text.split("\n")
        i = rng.randrange(len(lines))
        if kind == 0:
            del lines[i]
        elif kind == 1:
            lines[i:i] = lines[i : i + rng.randint(1, 4)] * rng.choice([1, 2, 40])
        elif kind == 2:
            j = rng.randrange(len(lines))
            lines[i], lines[j] = lines[j], lines[i]
        if kind < 3:
            text = "\n".join(lines)
        elif kind == NUMBER:
            text = _replace_number(text, rng)
        elif kind == 4 and text:
            words = re.findall(r"\S+", text) or [""]
            text = text.replace(rng.choice(words), rng.choice(words), rng.choice([1, -1]))
        elif kind == 5 and text:
            at, length = rng.randrange(len(text)), rng.randint(1, 8)
            text = text[:at] + text[at : at + length] * rng.choice([2, 30, 300]) + text[at:]
        elif kind == 6 and text:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(text + "\0\t\n<>&[](){}|:'\"^_=/*%é\ud800") + text[at + 1 :]
        elif text:
            text = text[: rng.randrange(len(text))]
    return text


def _replace_number(text, rng):
    """Return text with another number in place of one."""
    found = list(re.finditer(r"\d+", text))
    if not found:
        return text
    match = rng.choice(found)
    return text[: match.start()] + rng.choice(NUMBERS) + text[match.end() :]


def mutate_json(value: object, rng: random.Random) -> bytes:
    """Return JSON with a few values changed or removed, or broken text."""
    if rng.random() < 0.2:
        text = rng.choice(NESTED) if rng.random() < 0.3 else mutate_text(json.dumps(value), rng)
        return text.encode("utf-8", "replace")
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        value = _change_entry(value, rng)
    return json.dumps(value).encode("utf-8", "replace")


def _change_entry(value, rng):
    """Return a JSON value with one entry at any depth replaced, removed or copied."""
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.02:
        return deepcopy(rng.choice(VALUES))
    key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
    kind = rng.randrange(4)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, list):
        value *= rng.choice([2, 100])
    else:
        value[key] = _change_entry(value[key], rng)
    return value


def mutate_folder(files: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    """Return the files of a folder with one or two of them changed, removed or exchanged."""
    mutated = dict(files)
    for name in rng.sample(sorted(files), rng.randint(1, 2)):
        kind = rng.randrange(10)
        if kind == 0:
            del mutated[name]
        elif kind == 1:
            mutated[name] = files[rng.choice(sorted(files))]
        elif name.endswith(".json"):
            mutated[name] = mutate_json(json.loads(files[name]), rng)
        elif name.endswith(".safetensors"):
            mutated[name] = _mutate_weights(files[name], rng)
        else:
            mutated[name] = mutate_text(files[name].decode(), rng).encode("utf-8", "replace")
    return mutated


def _mutate_weights(data, rng):
    """Return a safetensors file with another header, other weights, or bytes changed anywhere."""
    (size,) = struct.unpack("<Q", data[:8])
    kind = rng.randrange(3)
    if kind == 0:
        return mutate_bytes(data, rng)
    if kind == 1:  # numbers that are infinite or not a number, in half precision
        at = 8 + size + 2 * rng.randrange((len(data) - 8 - size) // 2)
        return data[:at] + rng.choice([b"\x00\x7c", b"\x00\x7e", b"\xff\xff"]) + data[at + 2 :]
    header = mutate_json(json.loads(data[8 : 8 + size]), rng)
    return struct.pack("<Q", len(header)) + header + data[8 + size :]
