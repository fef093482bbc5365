"""Turn the names of corpus files into names that a musician reads."""

import re

SOURCES = {"mutopia", "nifc", "kern", "craig"}  # collections, as the first word of a file's name
CATALOGUES = {
    "op": "op.",
    "opus": "op.",
    "no": "no.",
    "nr": "no.",
    "bwv": "BWV",
    "woo": "WoO",
    "hob": "Hob.",
    "kv": "K.",
    "hwv": "HWV",
}
ROMAN = re.compile(r"(?=[ivx])x{0,3}(ix|iv|v?i{0,3})")
WORD = re.compile(r"\d+[a-z](?![a-z])|\d+|[^\W\d_]+")
CAPITAL_INSIDE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
USUAL_CATALOGUES = {"chopin": "op", "schumann": "op", "mozart": "kv"}  # of titles that are only numbers
# Further given names in the file names of the Chopin Institute, where a composer's full name precedes the title.
GIVEN_NAMES = {"dawid", "henryk", "jan", "kazimierz", "ludwik", "stefan", "wladyslaw", "wojciech"}


def readable_name(name: str) -> str:
    """Return the name of a corpus piece as a musician would write it, as well as its file name says it.

    Parameters
    ----------
    name : str
        A composer and a file name, such as ``"chopin/mutopia-Chop-28-15"``.

    Examples
    --------
    >>> readable_name("schumann/mutopia-schumann-op68-05-petite-piece")
    'Schumann, op. 68 no. 5, petite piece'
    >>> readable_name("bach/mutopia-bwv661")
    'Bach, BWV 661'
    """
    composer, slash, title = name.rpartition("/")
    if not slash:
        return _describe(_words(name)) or name
    words = _without_composer(_words(title), composer.lower())
    words = _with_catalogue(words, composer.lower())
    shown = _describe(words)
    return f"{composer.capitalize()}, {shown}" if shown else composer.capitalize()


def _words(title):
    return WORD.findall(CAPITAL_INSIDE.sub(" ", title).lower())


def _with_catalogue(words, composer):
    """Say which catalogue bare numbers belong to, if that is known."""
    if words[:2] == ["first", "editions"] and len(words) > 2:  # the edition stands between opus and number
        words = [words[2], words[-1]] if words[-1].isdigit() and words[-2].isalpha() else [words[2]]
    catalogue = "kv" if words[:1] == ["k"] else USUAL_CATALOGUES.get(composer)
    numbers = words[1:] if words[:1] == ["k"] else words
    is_bare = bool(numbers) and numbers[0].isdigit() and all(word.isdigit() for word in numbers)
    return [catalogue, *numbers] if catalogue and is_bare else words


def _without_composer(words, composer):
    """Drop the collection, the shelf mark, and the composer's name or what stands for it."""
    is_catalogued = words[:1] == ["nifc"]
    if words and words[0] in SOURCES:
        words = words[1:]
    if is_catalogued:
        places = [i for i, word in enumerate(words) if word == composer or word == "anonim"]
        if places:
            has_given_name = words[places[-1]] == composer
            words = words[places[-1] + 1 + has_given_name :] or words[-1:]
        while words and words[0] in GIVEN_NAMES:
            words = words[1:]
    elif words and _stands_for(words[0], composer):
        words = words[1:]
    return words


def _stands_for(word, composer):
    """Return whether a word is a composer's name or has letters of it in their order, such as "chpn"."""
    letters = iter(composer)
    is_short = len(word) > 1 and word[0] == composer[:1] and all(letter in letters for letter in word)
    are_initials = len(word) == 3 and word[-1] == composer[:1] and not set(word[:2]) & set("aeiou")  # "lvb"
    return is_short or are_initials or word.startswith(composer)


def _describe(words):
    """Return the words of a title with opus numbers as they are usually written."""
    parts, opus_numbers = [[]], None
    for word in words:
        if word.isdigit():
            if opus_numbers == 1 and parts[-1][-1] != "no.":
                parts[-1].append("no.")
            elif opus_numbers == 2:
                parts.append([])
            parts[-1].append(str(int(word)))
            opus_numbers = None if opus_numbers is None else opus_numbers + 1
        elif word in CATALOGUES:
            parts[-1].append(CATALOGUES[word])
            opus_numbers = 0 if CATALOGUES[word] == "op." else opus_numbers
        elif len(word) == 1 and opus_numbers == 1:
            continue  # "op25_e12" is an etude
        else:
            if opus_numbers:
                parts.append([])
                opus_numbers = None
            parts[-1].append(word.upper() if len(word) > 1 and ROMAN.fullmatch(word) else word)
    return ", ".join(" ".join(part) for part in parts if part)
