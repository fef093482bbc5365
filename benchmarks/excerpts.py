"""Human and composed excerpts that benchmarks compare.

All come from test works. As in `critic.data.table`, prompt, seam and ending are cut off.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from clara.music.notes import NoteSequence, crop
from clara.sampling.settings import SamplingSettings, piece_seeds, spread_temperatures
from clara_app.compose_request import default_settings
from clara_app.defaults import MAX_TEMPERATURE
from critic.data.table import ENDING_QUARTERS, PROMPT_QUARTERS, SEAM_QUARTERS, CorpusPieces

MAX_PLACES_PER_BATCH = 20  # places that are looked at for each prompt; those at an opening have none
SettingsOfSeeds = Callable[[Sequence[int]], list[SamplingSettings]]


def default_settings_of_seeds(temperature: tuple[float, float] | None = None) -> SettingsOfSeeds:
    """Return a function from seeds to sampling settings, as `generate.py` has them by default.

    Parameters
    ----------
    temperature : tuple of float, optional
        Lowest and highest temperature of a batch (default: those of `generate.py`).
    """
    settings = default_settings()
    lowest, highest = temperature or (settings.temperature, MAX_TEMPERATURE)
    settings = replace(settings, temperature=lowest)
    return lambda seeds: spread_temperatures(settings, highest, list(seeds))


def human_excerpts(corpus, n: int, quarters: int, seed: int) -> list[NoteSequence]:
    """Return n human excerpts of test works."""
    pieces = CorpusPieces(corpus)
    rng = np.random.default_rng(seed)
    steps_per_quarter = corpus.encoding.steps_per_quarter
    excerpts = []
    for piece, first_quarter in pieces.sample_places("test", quarters, n, rng):
        start = first_quarter + SEAM_QUARTERS
        excerpts.append(crop(pieces.notes(piece), start * steps_per_quarter, (start + quarters) * steps_per_quarter))
    return excerpts


def sample_prompts(
    corpus, n: int, quarters: int, no_prompt: bool, rng: np.random.Generator
) -> Iterator[NoteSequence | None]:
    """Yield n prompts from test works, or None n times.

    The caller may draw from `rng` between them.
    """
    pieces = CorpusPieces(corpus)
    steps_per_quarter = corpus.encoding.steps_per_quarter
    n_yielded = 0
    for piece, first_quarter in pieces.sample_places("test", quarters, MAX_PLACES_PER_BATCH * n, rng):
        if n_yielded == n:
            return
        prompt = None
        if not no_prompt:
            if first_quarter < PROMPT_QUARTERS:
                continue
            start = (first_quarter - PROMPT_QUARTERS) * steps_per_quarter
            prompt = crop(pieces.notes(piece), start, first_quarter * steps_per_quarter)
            if not len(prompt):
                continue
        n_yielded += 1
        yield prompt


def composed_quarters(quarters: int) -> int:
    """Return how many quarters to compose for an excerpt of some quarters."""
    return SEAM_QUARTERS + quarters + ENDING_QUARTERS


def crop_composed(samples: Sequence, quarters: int, has_prompt: bool, steps_per_quarter: int) -> list[NoteSequence]:
    """Return the excerpts of composed pieces, without prompt, seam and ending."""
    start = (PROMPT_QUARTERS if has_prompt else 0) + SEAM_QUARTERS
    return [crop(sample.notes, start * steps_per_quarter, (start + quarters) * steps_per_quarter) for sample in samples]


def compose_batches(
    generator,
    corpus,
    n_batches: int,
    n: int,
    quarters: int,
    seed: int,
    settings_of_seeds: SettingsOfSeeds,
    threads: int = 1,
    no_prompt: bool = False,
) -> list[list[NoteSequence]]:
    """Return batches of n composed excerpts; the pieces of a batch continue the same prompt."""
    rng = np.random.default_rng(seed)
    batches = []
    for prompt in sample_prompts(corpus, n_batches, quarters, no_prompt, rng):
        first_seed = int(rng.integers(2**31))
        samples = generator.generate(
            n,
            composed_quarters(quarters),
            prompt,
            settings_of_seeds(piece_seeds(first_seed, n)),
            seed=first_seed,
            threads=threads,
        )
        batches.append(crop_composed(samples, quarters, prompt is not None, corpus.encoding.steps_per_quarter))
    return batches
