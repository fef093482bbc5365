"""Train in several processes, on several GPUs or machines.

Start it with `torchrun train.py …`. Each process reads its share of the streams of every batch, and the gradients are
averaged. So any number of processes takes the same steps as a single one that reads all streams.

torch's wrapper (DistributedDataParallel), which fastai uses as well, hides the model's state. It hands out items where
a language model needs streams that continue from window to window. What it does beyond that is the averaging, which
`AverageGradients` does here.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from fastai.callback.core import Callback

from clara.errors import BadSetting

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes
    ----------
    rank : int
        Number of this process; process 0 writes files and reports.
    size : int
        Number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_rank0(self) -> bool:
        """Return whether this process writes files and reports."""
        return self.rank == 0

    def rank0_first(self, function: Callable[[], T]) -> T:
        """Call `function` in process 0, then in all others, which find the files that process 0 made."""
        if self.is_rank0:
            result = function()
            self.barrier()
            return result
        self.barrier()
        return function()

    def broadcast(self, value: T) -> T:
        """Return the value of process 0, in every process."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def mean(self, number: float) -> float:
        """Return the mean of a number over all processes."""
        if self.size == 1:
            return float(number)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(float(number), dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return float(total) / self.size

    def local_rows(self, bs: int) -> slice:
        """Return which rows of a batch of `bs` streams this process reads.

        Raises
        ------
        BadSetting
            If the streams cannot be shared evenly.
        """
        if bs % self.size:
            raise BadSetting(f"a batch of {bs} streams cannot be shared by {self.size} processes")
        n_rows = bs // self.size
        return slice(self.rank * n_rows, (self.rank + 1) * n_rows)


SINGLE_PROCESS = World()


def join_world(device: str = "auto") -> World:
    """Return the world in which torchrun or accelerate started this process, or one of a single process.

    Parameters
    ----------
    device : str
        "auto", or the name of a torch device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    if not dist.is_initialized():
        on_gpu = torch.cuda.is_available() and device != "cpu"
        if on_gpu:
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return World(dist.get_rank(), dist.get_world_size())


def leave_world() -> None:
    """Disconnect from the other processes, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class AverageGradients(Callback):
    """Begin with the weights of process 0, and average the gradients of all processes after each backward pass.

    Parameters
    ----------
    world : World
    """

    def __init__(self, world: World):
        self.world = world

    def before_fit(self):
        """Copy the weights of process 0."""
        for p in self.model.parameters():
            dist.broadcast(p.data, 0)

    def after_backward(self):
        """Replace the gradients by their mean over the processes, in one message."""
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        flat /= self.world.size
        for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads])):
            grad.copy_(mean.view_as(grad))
