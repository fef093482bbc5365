"""Structureness indicators (Wu and Yang 2020, "The Jazz Transformer on the Front Line"), by bars.

The indicator of a range of lengths is the highest fitness (Müller, Jiang and Grosche 2013) of a segment whose length
is in the range. The fitness of a segment is high if parts of the piece resemble it and together cover much of it. Wu
and Yang measure seconds of audio; here the unit is a bar, and the self-similarity is that of the notes.
"""

import numpy as np

from clara.form.bars import Bars
from clara.jit import compiled, float64_2d
from clara.music.notes import NoteSequence

CELLS_PER_BAR = 4  # of the harmony of a bar
SCALES = {"3 to 8": (3, 8), "8 to 15": (8, 15), "over 15": (15, None)}  # lengths of a segment in bars
KEPT_SHARE = 0.2  # of the entries of a self-similarity matrix
PENALTY = -2.0  # of the other entries, as in the FMP notebooks (Müller and Zalkow 2021)


def harmony_similarity(notes: NoteSequence, bars: Bars) -> np.ndarray:
    """Return the similarity of every pair of bars by harmony, the best of twelve transpositions.

    A bar is described by how long each pitch class sounds in each of its four quarters.

    Returns
    -------
    float64 array (n_bars, n_bars)
        Cosines, from 0 to 1.
    """
    n = len(bars)
    cell_begins = np.linspace(bars.begin[:-1], bars.begin[1:], CELLS_PER_BAR, endpoint=False, axis=1)
    edges = np.append(cell_begins, bars.begin[-1])
    cells = np.stack([_sounding(notes, pitch_class, edges) for pitch_class in range(12)], 1)
    chroma = cells.reshape(n, CELLS_PER_BAR, 12)
    chroma = chroma / np.linalg.norm(chroma, axis=(1, 2), keepdims=True).clip(1e-9)
    flat = chroma.reshape(n, -1)
    shifted = (np.roll(chroma, shift, axis=2).reshape(n, -1) for shift in range(12))
    return np.max([flat @ other.T for other in shifted], axis=0).clip(0, 1)


def _sounding(notes, pitch_class, edges):
    """Return how many steps the notes of a pitch class sound between edges, float64 (n_edges - 1,)."""
    chosen = notes.pitch % 12 == pitch_class
    until = np.zeros(len(edges))
    for times, sign in ((notes.start[chosen], 1), (notes.end[chosen], -1)):
        times = np.sort(times)
        n_before = np.searchsorted(times, edges)
        until += sign * (n_before * edges - np.append(0, np.cumsum(times))[n_before])
    return np.diff(until)


def structureness(similarity: np.ndarray) -> dict[str, float]:
    """Return the structureness indicator of each scale that the piece is long enough for.

    Parameters
    ----------
    similarity : float64 array (n_bars, n_bars)
        Similarity of every pair of bars, from 0 to 1.

    Returns
    -------
    dict of str to float
        By name of the scale; from 0 to 1.
    """
    n = len(similarity)
    fitness = np.zeros((n + 1, n))
    fill_fitness(np.ascontiguousarray(threshold(similarity)), fitness)
    indicators = {}
    for name, (shortest, longest) in SCALES.items():
        if n > shortest:
            indicators[name] = float(fitness[shortest : (longest or n) + 1].max())
    return indicators


def threshold(similarity: np.ndarray) -> np.ndarray:
    """Return a similarity matrix whose highest entries are scaled to 0 to 1; all others become a penalty.

    The diagonal is 1.
    """
    n = len(similarity)
    off_diagonal = similarity[~np.eye(n, dtype=bool)]
    limit = np.quantile(off_diagonal, 1 - KEPT_SHARE) if n > 1 else 1.0
    scaled = (similarity - limit) / max(1e-9, 1 - limit)
    result = np.where((similarity >= limit) & (similarity > 0), scaled, PENALTY)
    np.fill_diagonal(result, 1.0)
    return result


@compiled(float64_2d, float64_2d)
def fill_fitness(similarity, fitness):
    """Compute the fitness of every segment.

    Parameters
    ----------
    similarity : float64 (n, n)
        From `threshold`.
    fitness : float64 (n + 1, n)
        Result, by length and first bar of the segment.
    """
    n = len(similarity)
    # By column of the segment, for the rows t - 2, t - 1 and t: score of the best paths so far, the number of their
    # cells, the rows that closed paths cover, and the first row of the open path. Column 0 means that none is open.
    score = np.zeros((3, n + 1))
    cells, covered, first = np.zeros((3, n + 1)), np.zeros((3, n + 1)), np.zeros((3, n + 1))
    for length in range(1, n + 1):
        for begin in range(n - length + 1):
            score[:] = -np.inf
            for t in range(n):
                now, before, earlier = t % 3, (t + 2) % 3, (t + 1) % 3
                score[now, :] = -np.inf
                if t == 0:
                    score[now, 0], cells[now, 0], covered[now, 0] = 0.0, 0.0, 0.0
                else:
                    score[now, 0], cells[now, 0] = score[before, 0], cells[before, 0]
                    covered[now, 0] = covered[before, 0]
                    if score[before, length] > score[now, 0]:
                        score[now, 0], cells[now, 0] = score[before, length], cells[before, length]
                        covered[now, 0] = covered[before, length] + t - first[before, length]
                score[now, 1] = score[now, 0] + similarity[t, begin]
                cells[now, 1], covered[now, 1], first[now, 1] = cells[now, 0] + 1, covered[now, 0], t
                for m in range(2, length + 1):
                    row, column = before, m - 1
                    if t > 1 and score[earlier, m - 1] > score[row, column]:
                        row = earlier
                    if m > 2 and score[before, m - 2] > score[row, column]:
                        row, column = before, m - 2
                    if t == 0:
                        continue
                    score[now, m] = score[row, column] + similarity[t, begin + m - 1]
                    cells[now, m] = cells[row, column] + 1
                    covered[now, m], first[now, m] = covered[row, column], first[row, column]
            last = (n - 1) % 3
            total, n_cells, cover = score[last, 0], cells[last, 0], covered[last, 0]
            if score[last, length] > total:
                total, n_cells = score[last, length], cells[last, length]
                cover = covered[last, length] + n - first[last, length]
            # the segment itself is no repetition of anything
            mean_score = max(0.0, total - length) / max(1.0, n_cells)
            mean_cover = max(0.0, cover - length) / n
            if mean_score + mean_cover > 0:
                fitness[length, begin] = 2 * mean_score * mean_cover / (mean_score + mean_cover)
