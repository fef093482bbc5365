"""A match model: what a piece has held already comes again, as likely as it does in music.

A recurrent net forgets the bars that a piece comes back to. `clara.repeats.finder` finds where a text has said before what it
says now, `clara.repeats.outer_voices` where its highest and its lowest voice have gone before as they go now; here is how much the word that followed then is worth: its odds, as
the net has them, are put on a straight line,
log odds = slope x log odds + height, that was fitted to held-out pieces for each length of match, in the same key and in
another. All other words share what is left. First come the words, then the higher voice, then the lower, each with the odds that are left to it. Matches that reach back
to where they are repeated from are left to the net, else what is composed turns in circles.

Sources: the match model of the compressor PAQ (Mahoney 2005), which predicts what followed the longest match and learns what that is worth;
Platt (1999) for the line; Grave, Joulin and Usunier (2017) for the use of a memory beside a recurrent net.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from clara.errors import BadSetting
from clara.jit import compiled, float32_2d, float64_1d, float64_2d, int64_1d, uint8_2d
from clara.models.likelihood import compute_log_probs
from clara.repeats.finder import LENGTH, MOVED, NAMED, RepeatFinder
from clara.repeats.outer_voices import VOICES, WAITS, VoiceRepeatFinder

LENGTHS = (
    4,
    6,
    8,
    12,
    16,
    24,
    32,
    48,
    64,
    128,
)  # in words, of the shortest match that each line is for; shorter ones tell the net nothing
VOICE_LENGTHS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 48)  # in notes
_OF_WORDS, _OF_NOTES = np.array(LENGTHS), np.array(VOICE_LENGTHS)
WORDS, OF_VOICES = (2, len(LENGTHS), 2), (VOICES, 2, 2, len(VOICE_LENGTHS), 2)  # shapes of lines
SURE = 1e-6  # log odds are bounded as though nothing were surer
PRIOR = np.array([2.0, 0.5])  # precisions of slope and height about 1 and 0: without data a match changes nothing
NEWTON_STEPS = 50


@dataclass(frozen=True)
class RepeatModel:
    """What matches are worth.

    Attributes
    ----------
    lines : float64 array (2, len(LENGTHS), 2): slope and height by length, of matches in the same key and of those in another
    voice_lines : float64 array (VOICES, 2, 2, len(VOICE_LENGTHS), 2) or None, as `lines`: by voice, whether the word strikes or waits, key and length
    """

    lines: np.ndarray
    voice_lines: np.ndarray = None

    @classmethod
    def of(cls, told):
        """From what `told` gave; raises BadSetting where it is nothing of the kind."""
        try:
            voices = told.get("voices")
            lines = _checked(told, LENGTHS, WORDS)
            return cls(lines, None if voices is None else _checked(voices, VOICE_LENGTHS, OF_VOICES))
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise BadSetting(f"match: not the lines of a match model ({e})") from e

    @property
    def told(self):
        """For config.json."""
        told = {"lengths": list(LENGTHS), "lines": np.round(self.lines, 4).tolist()}
        return (
            told
            if self.voice_lines is None
            else told | {"voices": {"lengths": list(VOICE_LENGTHS), "lines": np.round(self.voice_lines, 4).tolist()}}
        )

    @cached_property
    def _kinds(self):
        """Lines (n, 2) of words and of each voice."""
        voices = () if self.voice_lines is None else self.voice_lines
        return [lines.reshape(-1, 2) for lines in (self.lines, *voices)]

    def bend(self, logits, allowed, memory, strengths, temperatures):
        """Give the words that followed then their odds, in place.

        Parameters
        ----------
        logits : float32 array (n, vocab_sz)
        allowed : uint8 array (n, vocab_sz)
        memory : clara.repeats.finder.Memory of n texts
        strengths : float64 array (n,); 1 for the odds that were fitted, 0 for those of the net, between and beyond in proportion
        temperatures : float64 array (n,), by which the logits will be divided; they are for the net's own words, and the odds of a match stay
            what they are in music
        """
        strengths, temperatures = np.ascontiguousarray(strengths), np.ascontiguousarray(temperatures)
        for lines, (named, line) in zip(self._kinds, _lines(memory.found, memory.voices and memory.voices.found)):
            if line.max() >= 0:
                _bend(logits, allowed, named, line, lines, strengths, temperatures)

    def nats(self, told):
        """The cost of each word of a piece that was read: float64 (n,), of what `read` gave of it."""
        return self._costs([told])[0]

    def _costs(self, pieces, fitted=None):
        """As `nats`, of some pieces; where `fitted` is a list, lines are fitted to them first, kind by kind, and added to it."""
        costs = [told.target for told in pieces]
        odds = [[named.log for named in told.named] for told in pieces]
        for k, lines in zip(range(len(pieces[0].named)), self._kinds):
            if fitted is not None:
                lines = _fit([(o[k], told.named[k]) for o, told in zip(odds, pieces)], len(lines))
                fitted.append(lines)
            for i, told in enumerate(pieces):
                costs[i], odds[i] = _after(costs[i], odds[i], told.named, k, lines)
        return [-cost for cost in costs]

    @classmethod
    def fit(cls, pieces):
        """The lines that make some pieces cheapest, by Newton's method; of lengths that hardly come they stay near what changes nothing.

        Parameters
        ----------
        pieces : list of what `read` gave, of music that the net did not learn from
        """
        plain, fitted = (
            cls(
                np.tile([1.0, 0.0], (*WORDS[:-1], 1)),
                voice_lines=np.tile([1.0, 0.0], (*OF_VOICES[:-1], 1)) if len(pieces[0].named) > 1 else None,
            ),
            [],
        )
        plain._costs(pieces, fitted)
        return cls(
            fitted[0].reshape(WORDS), voice_lines=np.stack(fitted[1:]).reshape(OF_VOICES) if fitted[1:] else None
        )


def _checked(told, lengths, shape):
    """Lines from what config.json says of words or of voices; raises BadSetting, and others for what has no such parts."""
    lines = np.array(told["lines"], dtype=np.float64)
    if tuple(told["lengths"]) != lengths or lines.shape != shape or not np.isfinite(lines).all():
        raise BadSetting(f"match: {lines.shape} numbers for lengths {told['lengths']}, not {shape} for {lengths}")
    return lines


@dataclass(frozen=True)
class Named:
    """What matches of one kind name, at each place of a piece but the last.

    Attributes
    ----------
    word : int64 array (n,)
    log : float64 array (n,), its log probability by the net
    hit : bool array (n,), whether it is what follows
    line : int64 array (n,), which line it is for; -1 where there is no match, or one that is too short
    """

    word: np.ndarray
    log: np.ndarray
    hit: np.ndarray
    line: np.ndarray


@dataclass(frozen=True)
class Told:
    """What a net makes of a piece and of its matches, at each place but the last.

    Attributes
    ----------
    target : float64 array (n,), log probability of the word that follows
    named : tuple of Named, of words and, where there are any, of each voice
    """

    target: np.ndarray
    named: tuple


def read(reader, pieces, forms, pad_id):
    """Read some pieces once.

    Parameters
    ----------
    reader : a `InferenceModel` of `clara.models`
    pieces : list of int arrays, each xxbos … xxeos
    forms : clara.repeats.finder.TranspositionTable of the vocabulary
    pad_id : a word that is never a target

    Returns
    -------
    list of Told
    """
    found = [
        _lines(
            RepeatFinder.matches(forms, ids[:-1]),
            VoiceRepeatFinder.matches(forms.voices, ids[:-1]) if forms.voices else None,
        )
        for ids in pieces
    ]
    asked = [
        np.stack([ids[1:], *(np.maximum(word, 0) for word, _ in kinds)], axis=1) for ids, kinds in zip(pieces, found)
    ]
    return [
        Told(
            logs[:, 0],
            tuple(Named(word, log, word == ids[1:], line) for (word, line), log in zip(kinds, logs[:, 1:].T)),
        )
        for ids, kinds, logs in zip(pieces, found, compute_log_probs(reader, pieces, asked, pad_id))
    ]


def _lines(words, voices):
    """What is named and by which line, int64 (n,) each: of words, as `RepeatFinder.matches` tells, int64 (n, 4), and of each voice, as `VoiceRepeatFinder.matches`, (n, VOICES, 4) or None."""
    kinds = [(words, _OF_WORDS, words[:, MOVED])]
    if voices is not None:
        kinds += [(voices[:, i], _OF_NOTES, 2 * voices[:, i, WAITS] + voices[:, i, MOVED]) for i in range(VOICES)]
    told = []
    for found, lengths, group in kinds:
        at, named = lengths.searchsorted(found[:, LENGTH], side="right") - 1, np.ascontiguousarray(found[:, NAMED])
        told.append((named, np.where((named >= 0) & (at >= 0), group * len(lengths) + at, -1)))
    return told


def _log_odds(logs):
    """Of log probabilities."""
    bounded = np.clip(logs, np.log(SURE), -SURE)
    return bounded - np.log1p(-np.exp(bounded))


def _after(target, logs, named, k, lines):
    """Log probabilities, (n,) each, of what follows and of what is named by each kind, once the words of kind k have the odds of their lines."""
    matched, (slope, height) = named[k].line >= 0, lines[np.maximum(named[k].line, 0)].T
    odds = np.where(matched, slope * _log_odds(logs[k]) + height, 0.0)
    now = np.where(matched, -np.logaddexp(0, -odds), logs[k])
    others = np.where(
        matched, -np.log1p(-np.exp(np.minimum(logs[k], -SURE))) - np.logaddexp(0, odds), 0.0
    )  # what is added to all others
    return (
        np.where(matched & named[k].hit, now, target + others),
        [np.where(matched & (other.word == named[k].word), now, log + others) for other, log in zip(named, logs)],
    )


def _fit(pieces, n):
    """Lines (n, 2), of (log probabilities (n,), Named) of each piece."""
    line, hit, odds = (
        np.concatenate(a) for a in zip(*((named.line, named.hit, _log_odds(logs)) for logs, named in pieces))
    )
    return np.stack([_fitted(odds[line == i], hit[line == i]) for i in range(n)])


def _fitted(odds, hit):
    """Slope and height of the line by which some words come as often as told: Newton's method, each step halved until it leads down."""
    line, features = np.array([1.0, 0.0]), np.stack([odds, np.ones_like(odds)], axis=1)

    def cost(line):
        return (
            np.logaddexp(0, np.where(hit, -1, 1) * (features @ line)).sum()
            + (PRIOR * (line - [1.0, 0.0]) ** 2).sum() / 2
        )

    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-features @ line))
        slope = features.T @ (hit - chance) - PRIOR * (line - [1.0, 0.0])
        curvature = (features.T * (chance * (1 - chance))) @ features + np.diag(PRIOR)
        step, now = np.linalg.solve(curvature, slope), cost(line)
        while cost(line + step) > now and np.abs(step).max() > SURE:
            step = step / 2
        if np.abs(step).max() <= SURE:
            break
        line = line + step
    return line


@compiled(float32_2d, uint8_2d, int64_1d, int64_1d, float64_2d, float64_1d, float64_1d)
def _bend(logits, allowed, named, line, lines, strengths, temperatures):
    """As `RepeatModel.bend`, of one kind: the word that is named in each row, and which line it is for, or -1."""
    for row in range(len(logits)):
        name, at = named[row], line[row]
        if at < 0 or strengths[row] == 0 or not allowed[row, name]:
            continue
        most, others = -np.inf, 0.0
        for word in range(logits.shape[1]):
            if allowed[row, word] and word != name and logits[row, word] > most:
                most = logits[row, word]
        for word in range(logits.shape[1]):
            if allowed[row, word] and word != name:
                others += np.exp((logits[row, word] - most) / temperatures[row])
        odds = (logits[row, name] - most) / temperatures[row] - np.log(others)
        if np.isfinite(odds):
            slope, height = lines[at]
            logits[row, name] += temperatures[row] * strengths[row] * ((slope - 1) * odds + height)
