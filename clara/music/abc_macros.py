"""Expand the macros (`m:`) of an ABC tune, so that the notes for which they stand are read and counted.

`m:~G2 = {A}G{F}G` replaces each `~G2`. A macro with the letter `n`, such as `m:~n2 = n{o}n{m}n`, holds for all
notes: `n` is the note, and the other letters from h to z are the notes that lie as many steps above or below.

Source: the ABC music standard 2.1, section 9, https://abcnotation.com/wiki/abc:standard:v2.1.
"""

import re

from clara.errors import TooLong

MACRO = re.compile(r"^m:[ \t]*(\S[^=\n]{0,40}?)[ \t]*=[ \t]*(?![ \t])([^\n]{1,200})$", re.MULTILINE)
FIELD_LINE = re.compile(r"[A-Za-z+]:(?![|:])|%")
LETTERS = "CDEFGAB"
NOTE = r"[A-Ga-g][',]*"
RELATIVE_NOTE = re.compile(r'("[^"]*"|![^!]*!)|([h-z])')
DECORATION_OR_N = re.compile(r"![^!]*!|n")
MAX_MACROS = 100
MAX_CHARACTERS = 1 << 20  # of a tune whose macros are expanded


def expand_macros(tune: str, source) -> str:
    r"""Return an ABC tune in which macros are replaced by what they stand for, which is not expanded again.

    Parameters
    ----------
    tune : str
    source : path or str
        For error messages.

    Raises
    ------
    TooLong
        If there are more than MAX_MACROS macros, or the expanded tune has more than MAX_CHARACTERS characters.

    Examples
    --------
    >>> expand_macros("X:1\nm:~n2 = n/o/n\nK:C\n~c2 e|", "a.abc").splitlines()[-1]
    'c/d/c e|'
    """
    macros = dict(MACRO.findall(tune))
    if not macros:
        return tune
    if len(macros) > MAX_MACROS:
        raise TooLong(f"{source}: more than {MAX_MACROS} macros")
    targets = sorted(macros, key=len, reverse=True)  # of targets that begin alike, the longest holds
    pattern = re.compile("|".join(f"(?P<m{i}>{_target_pattern(target, i)})" for i, target in enumerate(targets)))
    head, key, body = tune.partition("\nK:")
    expanded, n_characters = [head, key], 0
    for number, line in enumerate(body.splitlines(keepends=True)):
        is_music = number > 0 and not FIELD_LINE.match(line)
        for text in _expand_line(line, pattern, targets, macros) if is_music else [line]:
            expanded.append(text)
            n_characters += len(text)
            if n_characters > MAX_CHARACTERS:
                raise TooLong(f"{source}: more than {MAX_CHARACTERS:,} characters when its macros are expanded")
    return "".join(expanded)


def _target_pattern(target, index):
    """Return the regular expression of a target; its first `n` is any note, which becomes a group of its own."""
    place = _place_of_n(target)
    if place is None:
        return re.escape(target)
    return re.escape(target[:place]) + f"(?P<n{index}>{NOTE})" + re.escape(target[place + 1 :])


def _place_of_n(target):
    """Return where the `n` of a target stands that is any note, not a letter of a decoration; None without one."""
    return next((match.start() for match in DECORATION_OR_N.finditer(target) if match[0] == "n"), None)


def _expand_line(line, pattern, targets, macros):
    """Yield a line of music piece by piece, with its macros replaced."""
    position = 0
    for match in pattern.finditer(line):
        yield line[position : match.start()]
        index = next(i for i in range(len(targets)) if match[f"m{i}"] is not None)
        replacement = macros[targets[index]]
        note = match.groupdict().get(f"n{index}")
        yield _place_notes(replacement, note) if note else replacement
        position = match.end()
    yield line[position:]


def _place_notes(replacement, note):
    """Return a replacement with the letters h to z as notes around a note."""
    marks = note.count("'") - note.count(",")
    steps = LETTERS.index(note[0].upper()) + 7 * (note[0].islower() + marks)

    def name(match):
        return match[1] or _note_name(steps + ord(match[2]) - ord("n"))

    return RELATIVE_NOTE.sub(name, replacement)


def _note_name(steps):
    """Return the ABC name of the note so many steps above C."""
    octave, letter = divmod(steps, 7)
    if octave > 0:
        return LETTERS[letter].lower() + "'" * (octave - 1)
    return LETTERS[letter] + "," * -octave
