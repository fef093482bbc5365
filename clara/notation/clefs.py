"""The clef of each measure of a staff."""

from enum import Enum

import numpy as np

CHANGE_COST = 10.0  # of a change of clef, in ledger lines
DEFAULT_CLEF_COST = 0.15  # for each note in another clef than the staff's own
N_LEDGER_POWER = 1.5  # many ledger lines on one note are harder to read than few on many


class Clef(Enum):
    """Sign, line of the staff, and the MIDI numbers of the notes just below and just above the staff."""

    TREBLE = ("G", 2, 62, 79)
    ALTO = ("C", 3, 52, 69)
    TENOR = ("C", 4, 48, 65)
    BASS = ("F", 4, 41, 59)


PIANO_CLEFS = (Clef.TREBLE, Clef.BASS)
SOLO_CLEFS = {"w": (Clef.ALTO, Clef.TREBLE), "c": (Clef.BASS, Clef.TENOR, Clef.TREBLE)}  # by instrument, own first


def choose_clefs(notes, mask, measures, clefs) -> list:
    """Return the clef of each measure where it changes, None where it does not.

    Parameters
    ----------
    notes : NoteSequence
    mask : bool array (n,)
        Which notes are on the staff.
    measures : list of Measure
    clefs : tuple of Clef
        The staff's own one, and others that its readers know.
    """
    costs = _ledger_costs(notes.start[mask], notes.pitch[mask], measures, clefs)
    chosen = [clefs[index] for index in _cheapest_path(costs)]
    return [clef if i == 0 or clef != chosen[i - 1] else None for i, clef in enumerate(chosen)]


def _ledger_costs(start, pitch, measures, clefs):
    """Return the cost of each clef in each measure, float64 (n_measures, n_clefs)."""
    index = np.searchsorted([measure.start for measure in measures], start, side="right") - 1
    costs = np.zeros((len(measures), len(clefs)))
    for i, clef in enumerate(clefs):
        _, _, below, above = clef.value
        semitones = np.maximum(0, np.maximum(below - pitch, pitch - above))
        n_lines = np.ceil(semitones / 3.5)  # a ledger line every third
        np.add.at(costs[:, i], index, n_lines**N_LEDGER_POWER + (DEFAULT_CLEF_COST if i else 0))
    return costs


def _cheapest_path(costs):
    """Return the index of the clef of each measure: the cheapest sequence, changes included."""
    n_clefs = costs.shape[1]
    change = CHANGE_COST * (1 - np.eye(n_clefs))
    total, pointers = costs[0] + 1e-6 * np.arange(n_clefs), []
    for row in costs[1:]:
        reached = total[:, None] + change
        pointers.append(reached.argmin(0))
        total = reached.min(0) + row
    path = [int(total.argmin())]
    for pointer in reversed(pointers):
        path.append(int(pointer[path[-1]]))
    return path[::-1]
