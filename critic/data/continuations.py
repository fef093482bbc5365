"""Continuations of many prompts by some models, in processes of their own and on a GPU where there is one.

What comes of a task hangs neither on the number of processes nor on what is composed beside it.
"""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

from clara.jit import load_all

TOGETHER = 32  # prompts at most whose continuations are composed in one batch


@dataclass(frozen=True)
class ContinuationTask:
    """Continuations of one prompt.

    Attributes
    ----------
    model : index of the model that composes
    prompt : NoteSequence, or None to begin with nothing
    settings : list of clara.sampling.settings.Settings, one for each continuation
    seed : of the first; the others take the numbers after it
    """

    model: int
    prompt: object
    settings: list
    seed: int


def compose_continuations(models, tasks, quarters, workers=1, device="cpu", on_step=None):
    """What comes of each task; processes begin at once, before anything is asked of the iterator.

    Parameters
    ----------
    models : folders of models
    tasks : list of Task
    quarters : length of what is composed
    workers : processes; 1 to compose in this one
    device : as torch takes it
    on_step : function(tasks done since the last call)

    Yields
    ------
    list of NoteSequence, prompts included, in the order of the tasks
    """
    together = max(1, min(TOGETHER, -(-len(tasks) // (workers * len(models)))))
    of_model = [[i for i, task in enumerate(tasks) if task.model == model] for model in range(len(models))]
    batches = sorted(
        (mine[at : at + together] for mine in of_model for at in range(0, len(mine), together)),
        key=lambda batch: batch[0],
    )
    return _in_order(
        batches,
        _side_by_side(models, [[tasks[i] for i in batch] for batch in batches], quarters, workers, device),
        on_step,
    )


def _in_order(batches, composed, on_step):
    """What comes of each task: of batches, sorted by their first task, what comes of them."""
    ready, first = {}, 0
    for batch, pieces in zip(batches, composed):
        ready |= dict(zip(batch, pieces))
        while first in ready:
            yield ready.pop(first)
            first += 1
        if on_step:
            on_step(len(batch))


def _side_by_side(models, batches, quarters, workers, device):
    """What comes of each batch of tasks of one model, an iterator."""
    compose = partial(_compose, quarters)
    if workers == 1:
        _load(models, device)
        return map(compose, batches)
    import clara.generator  # noqa: F401 - with all that it compiles, which is loaded once for all workers

    load_all()
    context = get_context(None if device == "cpu" else "spawn")  # a GPU that was taken up is lost to what forks
    pool = ProcessPoolExecutor(workers, context, _load, (models, device))
    composed = pool.map(compose, batches)
    pool.shutdown(wait=False)  # when all are done
    return composed


_generators = []  # of this process


def _load(models, device):
    """Take up composing with these models, on one thread."""
    import torch

    from clara.generator import Generator

    torch.set_num_threads(1)
    _generators[:] = [Generator.load(model, device=device) for model in models]


def _compose(quarters, tasks):
    """Tasks of one model."""
    prompts, settings, seeds = zip(
        *((task.prompt, how, task.seed + i) for task in tasks for i, how in enumerate(task.settings))
    )
    pieces = iter(_generators[tasks[0].model].continue_each(prompts, quarters, list(settings), seeds))
    return [[next(pieces).notes for _ in task.settings] for task in tasks]
