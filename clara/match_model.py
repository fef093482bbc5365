"""A match model: what a piece has held already comes again, as likely as it does in music.

A recurrent net forgets the bars that a piece comes back to. `clara.matches` finds where a text has said before what it
says now; here is how much the word that followed then is worth: its odds, as the net has them, are put on a straight line,
log odds = slope x log odds + height, that was fitted to held-out pieces for each length of match, in the same key and in
another. All other words share what is left. Matches that reach back to where they are repeated from are left to the net, else
what is composed turns in circles.

What is composed finds fewer matches than music does, since nobody means them, so that at those odds too little of it comes again. While composing they
count for more: as much as `clara.match_gains` found to bring back as much as music does, in the same key and in another.

Sources: the match model of the compressor PAQ (Mahoney 2005), which predicts what followed the longest match and learns what that is worth;
Platt (1999) for the line; Grave, Joulin and Usunier (2017) for the use of a memory beside a recurrent net.

Contents: `MatchModel`, `Told`, `read`.
"""

from dataclasses import dataclass, field

import numpy as np

from clara.compiled import BYTES2, DOUBLES, DOUBLES3, FLOATS2, LONGS, LONGS2, compiled
from clara.errors import BadSetting
from clara.evaluate import log_probabilities
from clara.matches import LENGTH, MOVED, NAMED, Memory

LENGTHS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 128)  # in words, of the shortest match that each line is for; shorter ones tell the net nothing
SURE = 1e-6  # log odds are bounded as though nothing were surer
PRIOR = np.array([2.0, 0.5])  # precisions of slope and height about 1 and 0: without data a match changes nothing
NEWTON_STEPS = 50


@dataclass(frozen=True)
class MatchModel:
    """What matches are worth.

    Attributes
    ----------
    lines : float64 array (2, len(LENGTHS), 2): slope and height by length, of matches in the same key and of those in another
    gains : float64 array (2,), what a strength of 1 is while composing, for both; of music that is read it is 1
    """

    lines: np.ndarray
    gains: np.ndarray = field(default_factory=lambda: np.ones(2))

    @classmethod
    def of(cls, told):
        """From what `told` gave; raises BadSetting where it is nothing of the kind."""
        try:
            lines = np.array(told["lines"], dtype=np.float64)
            lengths, gains = tuple(told["lengths"]), np.array(told.get("gains", [1.0, 1.0]), dtype=np.float64)
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            raise BadSetting(f"match: not the lines of a match model ({e})") from e
        if lengths != LENGTHS or lines.shape != (2, len(LENGTHS), 2) or not np.isfinite(lines).all():
            raise BadSetting(f"match: {lines.shape} numbers for lengths {lengths}, not {(2, len(LENGTHS), 2)} for {LENGTHS}")
        if gains.shape != (2,) or not ((gains > 0) & np.isfinite(gains)).all():
            raise BadSetting(f"match: gains {told['gains']!r}, not two numbers above 0")
        return cls(lines, gains)

    @property
    def told(self):
        """For config.json."""
        gains = {} if (self.gains == 1).all() else {"gains": np.round(self.gains, 4).tolist()}
        return {"lengths": list(LENGTHS), "lines": np.round(self.lines, 4).tolist()} | gains

    def bend(self, logits, allowed, memory, strengths, temperatures):
        """Give the words that followed then their odds, in place.

        Parameters
        ----------
        logits : float32 array (n, vocab_sz)
        allowed : uint8 array (n, vocab_sz)
        memory : clara.matches.Memory of n texts
        strengths : float64 array (n,); 1 for the odds that were fitted and as much more as the gains say, 0 for those of the net, between and beyond in
            proportion
        temperatures : float64 array (n,), by which the logits will be divided; they are for the net's own words, and the odds of a match stay
            what they are in music
        """
        _bend(logits, allowed, memory.found, np.array(LENGTHS), self.lines, self.gains, np.ascontiguousarray(strengths), np.ascontiguousarray(temperatures))

    def nats(self, told):
        """The cost of each word of a piece that was read: float64 (n,), of what `read` gave of it."""
        slope, height = self._line(told)
        before = _log_odds(told.named)
        after = np.where(told.matched, slope * before + height, 0.0)
        others = told.target - np.log1p(-np.exp(np.minimum(told.named, -SURE))) - np.logaddexp(0, after)  # where it is another word
        return -np.where(told.matched, np.where(told.hit, -np.logaddexp(0, -after), others), told.target)

    def _line(self, told):
        """Slope and height at each place, (n,) each; anything where there is no match."""
        return self.lines[told.moved, np.maximum(told.length, 0)].T

    @classmethod
    def fit(cls, pieces):
        """The lines that make some pieces cheapest, by Newton's method; of lengths that hardly come they stay near what changes nothing.

        Parameters
        ----------
        pieces : list of what `read` gave, of music that the net did not learn from
        """
        moved, length, hit, odds = (np.concatenate(a) for a in zip(*((t.moved[t.matched], t.length[t.matched], t.hit[t.matched],
                                                                      _log_odds(t.named)[t.matched]) for t in pieces)))
        lines = np.tile([1.0, 0.0], (2, len(LENGTHS), 1))
        for key, at in np.ndindex(lines.shape[:2]):
            here = (moved == key) & (length == at)
            lines[key, at] = _fitted(odds[here], hit[here])
        return cls(lines)


@dataclass(frozen=True)
class Told:
    """What a net makes of a piece and of its matches, at each place but the last.

    Attributes
    ----------
    target : float64 array (n,), log probability of the word that follows
    named : float64 array (n,), that of the word that followed the match
    hit : bool array (n,), whether they are one
    matched : bool array (n,), whether there is a match of LENGTHS[0] words or more
    length : int64 array (n,), index into LENGTHS; -1 where it is shorter
    moved : int64 array (n,), 1 for a match in another key, else 0
    """

    target: np.ndarray
    named: np.ndarray
    hit: np.ndarray
    matched: np.ndarray
    length: np.ndarray
    moved: np.ndarray


def read(reader, pieces, forms, pad_id):
    """Read some pieces once.

    Parameters
    ----------
    reader : a `Reader` of `clara.models`
    pieces : list of int arrays, each xxbos … xxeos
    forms : clara.matches.Forms of the vocabulary
    pad_id : a word that is never a target

    Returns
    -------
    list of Told
    """
    found = [Memory.matches(forms, ids[:-1]) for ids in pieces]
    asked = [np.stack([ids[1:], np.maximum(f[:, NAMED], 0)], axis=1) for ids, f in zip(pieces, found)]
    told = []
    for ids, f, logs in zip(pieces, found, log_probabilities(reader, pieces, asked, pad_id)):
        length = np.searchsorted(LENGTHS, f[:, LENGTH], side="right") - 1
        matched = (f[:, NAMED] >= 0) & (length >= 0)
        told.append(Told(logs[:, 0], logs[:, 1], f[:, NAMED] == ids[1:], matched, length, f[:, MOVED]))
    return told


def _log_odds(logs):
    """Of log probabilities."""
    bounded = np.clip(logs, np.log(SURE), -SURE)
    return bounded - np.log1p(-np.exp(bounded))


def _fitted(odds, hit):
    """Slope and height of the line by which some words come as often as told."""
    line, features = np.array([1.0, 0.0]), np.stack([odds, np.ones_like(odds)], axis=1)
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-features @ line))
        slope = features.T @ (hit - chance) - PRIOR * (line - [1.0, 0.0])
        curvature = (features.T * (chance * (1 - chance))) @ features + np.diag(PRIOR)
        step = np.linalg.solve(curvature, slope)
        line = line + step * min(1.0, 2 / max(np.abs(step).max(), 1e-12))
    return line


@compiled(FLOATS2, BYTES2, LONGS2, LONGS, DOUBLES3, DOUBLES, DOUBLES, DOUBLES)
def _bend(logits, allowed, found, lengths, lines, gains, strengths, temperatures):
    """As `MatchModel.bend`."""
    for row in range(len(logits)):
        named, at = found[row, 0], np.searchsorted(lengths, found[row, 1], side="right") - 1
        if named < 0 or at < 0 or strengths[row] == 0 or not allowed[row, named]:
            continue
        most, others = -np.inf, 0.0
        for word in range(logits.shape[1]):
            if allowed[row, word] and word != named and logits[row, word] > most:
                most = logits[row, word]
        for word in range(logits.shape[1]):
            if allowed[row, word] and word != named:
                others += np.exp((logits[row, word] - most) / temperatures[row])
        odds = (logits[row, named] - most) / temperatures[row] - np.log(others)
        if np.isfinite(odds):
            slope, height, gain = lines[found[row, 2], at, 0], lines[found[row, 2], at, 1], gains[found[row, 2]]
            logits[row, named] += temperatures[row] * strengths[row] * gain * ((slope - 1) * odds + height)
