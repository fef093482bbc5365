"""Training on several GPUs or machines: torchrun train.py …

Each process reads its share of the streams of every batch and their gradients are averaged, so
that any number of processes takes the same steps as one that reads all streams. torch's own
wrapper (DistributedDataParallel) and fastai's, which uses it, hide the net's state and
hand out items where a language model needs streams that go on from window to window; the
averaging they do is one line, and stands here.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from fastai.callback.core import Callback

from clara.errors import BadSetting


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes
    ----------
    rank : this process's number; 0 writes and tells
    size : how many there are
    """

    rank: int = 0
    size: int = 1

    @property
    def first(self):
        """Whether this process writes and tells."""
        return self.rank == 0

    def rank0_first(self, work):
        """`work()` in the first process, then in all others, which find done what it did."""
        if self.first:
            done = work()
            self.wait()
            return done
        self.wait()
        return work()

    def broadcast(self, value):
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        told = [value]
        dist.broadcast_object_list(told)
        return told[0]

    def wait(self):
        """Until all processes are here."""
        if self.size > 1:
            dist.barrier()

    def mean(self, number):
        """Of a number in each process, float."""
        if self.size == 1:
            return float(number)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(float(number), dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return float(total) / self.size

    def share(self, bs):
        """The rows of a batch of bs that are this process's, a slice.

        Raises
        ------
        BadSetting
            If the batch cannot be shared out evenly.
        """
        if bs % self.size:
            raise BadSetting(f"a batch of {bs} streams cannot be shared by {self.size} processes")
        each = bs // self.size
        return slice(self.rank * each, (self.rank + 1) * each)


def join(device="auto"):
    """The world that torchrun or accelerate launched this process in; of one process where none did.

    Parameters
    ----------
    device : auto, or a torch device's name
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


def leave():
    """Part from the other processes, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


class AverageGradients(Callback):
    """Begin with the first process's weights and average all gradients.

    Parameters
    ----------
    world : World
    """

    def __init__(self, world):
        self.world = world

    def before_fit(self):
        """The same weights everywhere."""
        for p in self.model.parameters():
            dist.broadcast(p.data, 0)

    def after_backward(self):
        """The mean of the gradients, in one message."""
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in grads])
        dist.all_reduce(flat)
        flat /= self.world.size
        for g, mean in zip(grads, flat.split([g.numel() for g in grads])):
            g.copy_(mean.view_as(g))
