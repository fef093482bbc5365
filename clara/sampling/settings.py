"""Which of the allowed words is taken.

Each text of a batch may have settings of its own. A word that a grammar rules out is never taken.
"""

from dataclasses import astuple, dataclass, replace

import numpy as np

from clara.errors import BadSetting
from clara.jit import compiled, float32_2d, float64_2d, int64_1d, uint8_2d

GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class SamplingSettings:
    """How freely to sample.

    Attributes
    ----------
    temperature : above 0; below 1 the likely words become likelier
    top_k : only the k likeliest words; 0 for all
    top_p : only the likeliest words that together have this probability (Holtzman et al.
        2020, nucleus sampling); 1 for all
    min_p : only words at least so likely as this share of the likeliest (Nguyen et al. 2024); 0 for all
    random_freq : how often to draw at all instead of taking the likeliest word (Payne's
        Clara, 2018); 1 for always, 0 for greedy
    repetition_penalty : at least 1; by how much a word that begins notes loses odds where it came
        within the last `repetition_quarters` (after Keskar et al. 2019)
    repetition_quarters : above 0
    repeat_strength : how much what a piece has held comes again, where a match model was fitted (see `clara.repeats.model`): 1 as in music,
        0 as the net alone has it

    Raises
    ------
    BadSetting
        For a value out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    random_freq: float = 1.0
    repetition_penalty: float = 1.0
    repetition_quarters: float = 4.0
    repeat_strength: float = 1.0

    def __post_init__(self):
        for name, good, told in (
            ("temperature", 0 < self.temperature < float("inf"), "above 0"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "from 0 to 1"),
            ("random_freq", 0 <= self.random_freq <= 1, "from 0 to 1"),
            ("repetition_penalty", 1 <= self.repetition_penalty < float("inf"), "at least 1"),
            ("repetition_quarters", 0 < self.repetition_quarters < float("inf"), "above 0"),
            ("repeat_strength", 0 <= self.repeat_strength < float("inf"), "at least 0"),
        ):
            if not good:
                raise BadSetting(f"{name} must be {told}, not {getattr(self, name)}")


def spread_temperatures(settings, highest, seeds):
    """Settings of their own for the pieces of a batch, so that what ranks them can choose how free they are, too.

    Parameters
    ----------
    settings : Settings, whose temperature is the lowest
    highest : temperature; those between follow the multiples of the golden ratio, which fill the range evenly however many there are
    seeds : of the pieces, list of int; the same seed has the same temperature in every batch

    Returns
    -------
    list of Settings

    Raises
    ------
    BadSetting
        If `highest` is below the lowest.
    """
    if not highest >= settings.temperature:
        raise BadSetting(
            f"the highest temperature must be at least the lowest, {settings.temperature:g}, not {highest:g}"
        )
    return [
        replace(settings, temperature=settings.temperature + (highest - settings.temperature) * (seed * GOLDEN % 1))
        for seed in seeds
    ]


def settings_table(settings, n):
    """Settings, one for all texts or a list of n, as `choose` takes them: float64 (n, 8)."""
    return np.array(
        [astuple(s) for s in ([settings] * n if isinstance(settings, SamplingSettings) else settings)], dtype=np.float64
    )


def choose(logits, allowed, table, draws, bias=None):
    """One word per text.

    Parameters
    ----------
    logits : float32 array (n, vocab_sz)
    allowed : uint8 array (n, vocab_sz), at least one 1 in each row
    table : from `settings_table`
    draws : float64 array (n, 2), uniform in [0, 1): one decides the word, one whether to draw
    bias : float32 array (n, vocab_sz), added to the logits, or None

    Returns
    -------
    int64 array (n,)
    """
    ids = np.empty(len(logits), dtype=np.int64)
    _choose(logits, allowed, table, draws, NO_BIAS if bias is None else bias, ids)
    return ids


NO_BIAS = np.zeros((0, 0), dtype=np.float32)
MANY = 256  # candidates beyond which sorting beats looking for the likeliest again and again


@compiled(float32_2d, uint8_2d, float64_2d, float64_2d, float32_2d, int64_1d)
def _choose(logits, allowed, table, draws, bias, ids):
    """Write the word of each text into ids."""
    vocab_sz = logits.shape[1]
    words, height = np.empty(vocab_sz, np.int64), np.empty(vocab_sz, np.float64)
    chance, kept = np.empty(vocab_sz, np.float64), np.empty(vocab_sz, np.bool_)
    for row in range(len(ids)):
        temperature, top_k, top_p, min_p, random_freq = (
            table[row, 0],
            int(table[row, 1]),
            table[row, 2],
            table[row, 3],
            table[row, 4],
        )
        n, best, most = 0, 0, -np.inf
        for word in range(vocab_sz):
            if allowed[row, word]:
                height[n] = min(max(logits[row, word], -1e30), 1e30) if logits[row, word] == logits[row, word] else 0.0
                if len(bias):
                    height[n] += bias[row, word]
                words[n] = word
                if height[n] > most:
                    best, most = n, height[n]
                n += 1
        ids[row] = words[best]
        if draws[row, 1] >= random_freq or n == 1:
            continue
        for i in range(n):
            height[i] -= most
            chance[i] = np.exp(height[i] / temperature)
            kept[i] = chance[i] >= min_p
        if 0 < top_k < n:
            least = np.sort(height[:n])[n - top_k]
            for i in range(n):
                kept[i] = kept[i] and height[i] >= least
        total = 0.0
        for i in range(n):
            if kept[i]:
                total += chance[i]
        if top_p < 1:
            enough, reached = top_p * total, 0.0
            if n > MANY:
                for i in np.argsort(-height[:n]):
                    within = kept[i] and reached < enough
                    reached += chance[i] if kept[i] else 0.0
                    kept[i] = within
            else:
                for i in range(n):
                    height[i] = height[i] if kept[i] else -np.inf
                    kept[i] = False
                while reached < enough:
                    likeliest = 0
                    for i in range(1, n):
                        if height[i] > height[likeliest]:
                            likeliest = i
                    if height[likeliest] == -np.inf:
                        break
                    kept[likeliest], height[likeliest] = True, -np.inf
                    reached += chance[likeliest]
            total = 0.0
            for i in range(n):
                if kept[i]:
                    total += chance[i]
        left = draws[row, 0] * total
        for i in range(n):
            if kept[i]:
                left -= chance[i]
                if left < 0:
                    ids[row] = words[i]
                    break
