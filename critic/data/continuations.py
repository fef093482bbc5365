"""Compose continuations of many prompts with several models, in parallel processes, on a GPU if there is one.

The result of a task depends neither on the number of processes nor on what is composed in the same batch.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from clara.jit import load_all
from clara.music.notes import NoteSequence

MAX_BATCH_PROMPTS = 32


@dataclass(frozen=True)
class ContinuationTask:
    """Continuations of one prompt by one model.

    Attributes
    ----------
    model : int
        Index of the model that composes.
    prompt : NoteSequence or None
        None to begin with nothing.
    settings : list of clara.sampling.settings.SamplingSettings
        One for each continuation.
    seed : int
        Random seed of the first continuation; the others use the numbers after it.
    """

    model: int
    prompt: NoteSequence | None
    settings: list
    seed: int


def compose_continuations(
    models: Sequence[str | Path],
    tasks: Sequence[ContinuationTask],
    quarters: float,
    workers: int = 1,
    device: str = "cpu",
    on_step: Callable | None = None,
) -> Iterator[list[NoteSequence]]:
    """Compose the continuations of each task, without endings, because excerpts are taken from within pieces.

    The processes start at once, before the first result is asked for.

    Parameters
    ----------
    models : sequence of path
        Folders of the models.
    tasks : sequence of ContinuationTask
    quarters : float
        Length of what is composed.
    workers : int
        Number of processes; 1 composes in this process.
    device : str
        As torch takes it.
    on_step : function(int), optional
        Called with the number of tasks done since the last call.

    Returns
    -------
    iterator of list of NoteSequence
        The continuations of each task, prompts included, in the order of the tasks.
    """
    batch_size = max(1, min(MAX_BATCH_PROMPTS, -(-len(tasks) // (workers * len(models)))))
    batches = []
    for model in range(len(models)):
        indices = [i for i, task in enumerate(tasks) if task.model == model]
        batches += [indices[first : first + batch_size] for first in range(0, len(indices), batch_size)]
    batches.sort(key=lambda batch: batch[0])
    tasks_of_batches = [[tasks[i] for i in batch] for batch in batches]
    return _in_order(batches, _compose_batches(models, tasks_of_batches, quarters, workers, device), on_step)


def _in_order(batches, results, on_step):
    """Yield the result of each task in order; `batches` are lists of task indices, sorted by their first."""
    waiting = {}
    next_task = 0
    for batch, pieces in zip(batches, results):
        waiting |= dict(zip(batch, pieces))
        while next_task in waiting:
            yield waiting.pop(next_task)
            next_task += 1
        if on_step:
            on_step(len(batch))


def _compose_batches(models, batches, quarters, workers, device):
    """Return an iterator over the results of batches of tasks; all tasks of a batch have the same model."""
    compose = partial(_compose, quarters)
    if workers == 1:
        _load_generators(models, device)
        return map(compose, batches)
    import clara.generation.generator  # noqa: F401 - all functions that it compiles are loaded once, before the processes fork

    load_all()
    context = get_context(None if device == "cpu" else "spawn")  # a forked process cannot use a GPU that is in use
    pool = ProcessPoolExecutor(workers, context, _load_generators, (models, device))
    results = pool.map(compose, batches)
    pool.shutdown(wait=False)  # it ends when all batches are done
    return results


_generators = []  # of this process


def _load_generators(models, device):
    """Load the models into this process, which composes on one thread."""
    import torch

    from clara.generation.generator import Generator

    torch.set_num_threads(1)
    _generators[:] = [Generator.load(model, device=device) for model in models]


def _compose(quarters, tasks):
    """Return the continuations of each task of one batch."""
    prompts, settings, seeds = [], [], []
    for task in tasks:
        for i, of_continuation in enumerate(task.settings):
            prompts.append(task.prompt)
            settings.append(of_continuation)
            seeds.append(task.seed + i)
    generator = _generators[tasks[0].model]
    pieces = iter(generator.continue_each(prompts, quarters, settings, seeds, ending=False))
    return [[next(pieces).notes for _ in task.settings] for task in tasks]
