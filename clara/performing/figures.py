"""How much a performance is like a human's: correlations, F1 of the pedal and nats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from clara.performing.passages import PerformedPiece
from clara.performing.pedalling import Pedalling, pedal_f1
from clara.performing.performer import Expectation
from clara.performing.touch import PlayedNotes, Touch


@dataclass(frozen=True)
class PieceFigures:
    """Figures of one piece.

    Attributes
    ----------
    velocity_r, tempo_r : float
        Pearson correlation of velocities by note and of log tempos by beat; 0 if either is constant.
    pedal_f1 : float or None
        F1 of where sixteenths begin with the pedal down; None if the human uses none.
    nats_per_note : float
        Cost of a velocity, given those before it.
    """

    velocity_r: float
    tempo_r: float
    pedal_f1: float | None
    nats_per_note: float


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the Pearson correlation of two arrays (n,); 0 if either is constant."""
    if len(first) < 2 or np.ptp(first) < 1e-9 or np.ptp(second) < 1e-9:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])


def measure_piece(piece: PerformedPiece, expected: Expectation, touch: Touch, pedalling: Pedalling) -> PieceFigures:
    """Compare what is expected of a piece with how it is played."""
    performance = piece.performance
    f1 = None
    if performance.has_pedal:
        is_down = expected.pedal[:, 0] >= np.log(pedalling.down / (1 - pedalling.down))
        f1 = pedal_f1(performance.pedal, is_down)
    return PieceFigures(
        correlation(performance.velocity, expected.velocity),
        correlation(performance.log_tempo, expected.tempo),
        f1,
        float(touch.velocity_nats(played_notes(piece, expected)).mean()),
    )


def played_notes(piece: PerformedPiece, expected: Expectation) -> PlayedNotes:
    """Return the velocities of a piece beside what is expected of them."""
    return PlayedNotes(piece.notes, piece.performance.velocity, expected.velocities, expected.velocity_spread)


def tempo_residual(piece: PerformedPiece, expected: Expectation) -> np.ndarray:
    """Return what the log tempo of each beat differs from its expectation, in standard deviations of the piece."""
    return piece.tempo_target() - expected.tempo


def mean_figures(figures: Sequence[PieceFigures]) -> dict[str, float]:
    """Return the means over pieces; of the pedal over pieces with pedal."""
    f1 = [piece.pedal_f1 for piece in figures if piece.pedal_f1 is not None]
    return {
        "velocity_r": round(float(np.mean([piece.velocity_r for piece in figures])), 4),
        "tempo_r": round(float(np.mean([piece.tempo_r for piece in figures])), 4),
        "pedal_f1": round(float(np.mean(f1)), 4) if f1 else 0.0,
        "nats_per_note": round(float(np.mean([piece.nats_per_note for piece in figures])), 4),
        "pieces": len(figures),
        "pieces_with_pedal": len(f1),
    }
