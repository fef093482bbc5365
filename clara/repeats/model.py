"""A repeat model: the odds that a piece continues as it did before, fitted to music.

A recurrent network forgets bars that a piece comes back to. `clara.repeats.finder` finds where a text repeats an
earlier passage, and `clara.repeats.outer_voices` where its highest and lowest voice do. Each names a candidate for the
next token. The repeat model replaces the network's odds of the candidate by calibrated ones::

    log odds = slope * (log odds of the network) + intercept

Slope and intercept are fitted to held-out pieces, one pair for each range of repeat lengths, in the same key and in
another. All other tokens share the rest of the probability in proportion. The candidate of the tokens comes first, then
that of the higher voice, then that of the lower, each with the odds it has by then. A repeat that overlaps the earlier
passage is left to the network, or composed music would turn in circles.

References
----------
Mahoney (2005): the match model of the compressor PAQ predicts what followed the longest match, and learns how often
that is right. Platt (1999): calibration of log odds by a line. Grave, Joulin and Usunier (2017): a memory beside a
recurrent network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from clara.errors import BadSetting
from clara.jit import compiled, float32_2d, float64_1d, float64_2d, int64_1d, uint8_2d
from clara.repeats.candidates import MIN_NOTES, MIN_TOKENS, ScoredPiece, name_candidates
from clara.repeats.finder import RepeatFinder, TranspositionTable
from clara.repeats.outer_voices import N_VOICES

CALIBRATION_SHAPE = (2, len(MIN_TOKENS), 2)  # transposed or not, bin, (slope, intercept)
VOICE_CALIBRATION_SHAPE = (N_VOICES, 2, 2, len(MIN_NOTES), 2)  # voice, waits or not, then the same
IDENTITY = np.array([1.0, 0.0])  # slope and intercept that change nothing
LOG_ODDS_EPS = 1e-6  # probabilities are clipped to at least this and at most 1 minus this
PRIOR_PRECISION = np.array([2.0, 0.5])  # of slope and intercept around IDENTITY: without data, nothing changes
MAX_NEWTON_STEPS = 50
MAX_CALIBRATION = 1e3  # of a slope or an intercept; fitted ones stay below 20


@dataclass(frozen=True)
class RepeatModel:
    """Calibrated odds of the candidates that repeats name.

    Attributes
    ----------
    calibration : float64 array, `CALIBRATION_SHAPE`
        Slope and intercept for repeats of tokens: in the same key and transposed, by length.
    voice_calibration : float64 array, `VOICE_CALIBRATION_SHAPE`, or None
        The same for repeats of the outer voices: by voice, and whether the candidate starts a note or waits for it.
    """

    calibration: np.ndarray
    voice_calibration: np.ndarray | None = None

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "RepeatModel":
        """Return the model that `to_dict` described.

        Raises
        ------
        BadSetting
            If the settings do not describe a repeat model.
        """
        try:
            calibration = _checked(settings["min_tokens"], MIN_TOKENS, settings["calibration"], CALIBRATION_SHAPE)
            if "voice_calibration" not in settings:
                return cls(calibration)
            voice_calibration = _checked(
                settings["min_notes"], MIN_NOTES, settings["voice_calibration"], VOICE_CALIBRATION_SHAPE
            )
        except (KeyError, TypeError, ValueError, OverflowError) as e:
            raise BadSetting(f"repeats: not a repeat model ({type(e).__name__} {e})") from e
        return cls(calibration, voice_calibration)

    def to_dict(self) -> dict[str, Any]:
        """Return the model as it is stored in config.json."""
        settings = {"min_tokens": list(MIN_TOKENS), "calibration": np.round(self.calibration, 4).tolist()}
        if self.voice_calibration is not None:
            settings["min_notes"] = list(MIN_NOTES)
            settings["voice_calibration"] = np.round(self.voice_calibration, 4).tolist()
        return settings

    @cached_property
    def _calibrations(self):
        """Slope and intercept by bin, (n_bins, 2), for repeats of tokens and of each voice."""
        voices = () if self.voice_calibration is None else self.voice_calibration
        return [calibration.reshape(-1, 2) for calibration in (self.calibration, *voices)]

    def adjust_logits(
        self,
        logits: np.ndarray,
        allowed: np.ndarray,
        finder: RepeatFinder,
        strengths: np.ndarray,
        temperatures: np.ndarray,
    ) -> None:
        """Give the candidates of each text their calibrated odds, in place.

        Parameters
        ----------
        logits : float32 array (n, vocab_sz)
        allowed : uint8 array (n, vocab_sz)
            1 for tokens that may come next.
        finder : RepeatFinder
            Of the n texts.
        strengths : float64 array (n,)
            1 for the calibrated odds, 0 for those of the network, in proportion between and beyond.
        temperatures : float64 array (n,)
            What the logits will be divided by. It affects the network's tokens, not the odds of candidates.
        """
        strengths, temperatures = np.ascontiguousarray(strengths), np.ascontiguousarray(temperatures)
        voice_repeats = finder.voices.repeats if finder.voices else None
        for calibration, (tokens, bins) in zip(self._calibrations, name_candidates(finder.repeats, voice_repeats)):
            if bins.max() >= 0:
                _adjust_logits(logits, allowed, tokens, bins, calibration, strengths, temperatures)

    def nats(self, piece: ScoredPiece) -> np.ndarray:
        """Return the negative log-probability of each token of a piece, float64 (n,)."""
        log_probs = _LogProbs.from_piece(piece)
        for kind, calibration in zip(range(len(piece.candidates)), self._calibrations):
            log_probs = log_probs.calibrated(piece.candidates, kind, calibration)
        return -log_probs.next_token

    @classmethod
    def fit(cls, pieces: Sequence[ScoredPiece]) -> "RepeatModel":
        """Return the calibration with the lowest cost of some pieces.

        Bins with little data stay near `IDENTITY`.

        Parameters
        ----------
        pieces : list of ScoredPiece
            Music that the network was not trained on.
        """
        log_probs = [_LogProbs.from_piece(piece) for piece in pieces]
        calibrations = []
        for kind in range(len(pieces[0].candidates)):
            shape = CALIBRATION_SHAPE if kind == 0 else VOICE_CALIBRATION_SHAPE[1:]
            candidates = [piece.candidates[kind] for piece in pieces]
            calibration = _fit_bins([p.candidates[kind] for p in log_probs], candidates, int(np.prod(shape[:-1])))
            calibrations.append(calibration.reshape(shape))
            log_probs = [p.calibrated(piece.candidates, kind, calibration) for p, piece in zip(log_probs, pieces)]
        token_calibration, *voice_calibrations = calibrations
        return cls(token_calibration, np.stack(voice_calibrations) if voice_calibrations else None)


class Repeats(NamedTuple):
    """What is needed to follow the repeats of a model's texts."""

    model: RepeatModel
    table: TranspositionTable


def _checked(bins, expected_bins, calibration, shape):
    """Return a calibration as an array; raise ValueError if it has other bins or another shape."""
    calibration = np.array(calibration, dtype=np.float64)
    in_range = np.abs(calibration) <= MAX_CALIBRATION  # False for NaN as well
    if tuple(bins) != expected_bins or calibration.shape != shape or not in_range.all():
        raise ValueError(f"{calibration.shape} numbers for lengths {bins}, not {shape} for {expected_bins}")
    return calibration


@dataclass(frozen=True)
class _LogProbs:
    """Log-probabilities at each position of a piece: of the next token, and of each kind of candidate."""

    next_token: np.ndarray
    candidates: list[np.ndarray]

    @classmethod
    def from_piece(cls, piece):
        """Return the log-probabilities by the network."""
        return cls(piece.next_log_prob, [candidates.log_prob for candidates in piece.candidates])

    def calibrated(self, candidates, kind, calibration):
        """Return the log-probabilities after the candidates of one kind have their calibrated odds."""
        own, own_log_prob = candidates[kind], self.candidates[kind]
        has_repeat = own.bin >= 0
        slope, intercept = calibration[np.maximum(own.bin, 0)].T
        odds = np.where(has_repeat, slope * _log_odds(own_log_prob) + intercept, 0.0)
        new_log_prob = np.where(has_repeat, -np.logaddexp(0, -odds), own_log_prob)
        others_change = -np.log1p(-np.exp(np.minimum(own_log_prob, -LOG_ODDS_EPS))) - np.logaddexp(0, odds)
        others_change = np.where(has_repeat, others_change, 0.0)  # of the log-probability of all other tokens
        return _LogProbs(
            np.where(has_repeat & own.is_next, new_log_prob, self.next_token + others_change),
            [
                np.where(has_repeat & (other.token == own.token), new_log_prob, log_prob + others_change)
                for other, log_prob in zip(candidates, self.candidates)
            ],
        )


def _log_odds(log_probs):
    """Return the log odds of log-probabilities, bounded."""
    bounded = np.clip(log_probs, np.log(LOG_ODDS_EPS), -LOG_ODDS_EPS)
    return bounded - np.log1p(-np.exp(bounded))


def _fit_bins(log_probs, candidates, n_bins):
    """Return slope and intercept for each bin, (n_bins, 2).

    Parameters
    ----------
    log_probs : list of float64 arrays (n,)
        Log-probabilities of the candidates of each piece.
    candidates : list of RepeatCandidates
        Of each piece.
    """
    bins = np.concatenate([c.bin for c in candidates])
    is_next = np.concatenate([c.is_next for c in candidates])
    odds = np.concatenate([_log_odds(p) for p in log_probs])
    return np.stack([_fit_line(odds[bins == i], is_next[bins == i]) for i in range(n_bins)])


def _fit_line(odds, is_next):
    """Return slope and intercept of the calibrated log odds with the highest posterior probability.

    Newton's method; each step is halved until it lowers the cost.
    """
    line, features = IDENTITY, np.stack([odds, np.ones_like(odds)], axis=1)
    sign = np.where(is_next, -1, 1)

    def cost(line):
        prior = (PRIOR_PRECISION * (line - IDENTITY) ** 2).sum() / 2
        return np.logaddexp(0, sign * (features @ line)).sum() + prior

    for _ in range(MAX_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-features @ line))
        gradient = features.T @ (is_next - probability) - PRIOR_PRECISION * (line - IDENTITY)
        curvature = (features.T * (probability * (1 - probability))) @ features + np.diag(PRIOR_PRECISION)
        step, current_cost = np.linalg.solve(curvature, gradient), cost(line)
        while cost(line + step) > current_cost and np.abs(step).max() > LOG_ODDS_EPS:
            step = step / 2
        if np.abs(step).max() <= LOG_ODDS_EPS:
            break
        line = line + step
    return line


@compiled(float32_2d, uint8_2d, int64_1d, int64_1d, float64_2d, float64_1d, float64_1d)
def _adjust_logits(logits, allowed, tokens, bins, calibration, strengths, temperatures):
    """Adjust logits for candidates of one kind; see `RepeatModel.adjust_logits`.

    tokens, bins (n,): the candidate of each text and its bin of the calibration, or -1.
    """
    for row in range(len(logits)):
        candidate, bin_ = tokens[row], bins[row]
        if bin_ < 0 or strengths[row] == 0 or not allowed[row, candidate]:
            continue
        highest, others = -np.inf, 0.0
        for token in range(logits.shape[1]):
            if allowed[row, token] and token != candidate and logits[row, token] > highest:
                highest = logits[row, token]
        for token in range(logits.shape[1]):
            if allowed[row, token] and token != candidate:
                others += np.exp((logits[row, token] - highest) / temperatures[row])
        odds = (logits[row, candidate] - highest) / temperatures[row] - np.log(others)
        if np.isfinite(odds):
            slope, intercept = calibration[bin_]
            change = (slope - 1) * odds + intercept
            logits[row, candidate] += temperatures[row] * strengths[row] * change
