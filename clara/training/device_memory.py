"""The memory of the device: what fits it, and how the allocator returns it."""

import ctypes
import gc

import torch
from fastai.learner import Learner

from clara.errors import ClaraError

M_MMAP_THRESHOLD = -3  # from glibc's malloc.h
LARGE_BLOCK = 2**22  # bytes


class OutOfDeviceMemory(ClaraError):
    """A batch does not fit the device's memory."""


def return_freed_memory() -> bool:
    """Have glibc return freed blocks of `LARGE_BLOCK` bytes and more to the system; return whether it could be set.

    glibc raises this threshold to 32 MB by default. Then the logits of a large vocabulary leave holes in the heap: a
    training of chordwise text grew to 18 GB. Allocators of other systems are left as they are.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK))
    except (AttributeError, OSError, TypeError):
        return False


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch raised this error for lack of memory, on a GPU or a CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def largest_batch_size(learn: Learner, bs: int, seq_len: int) -> int:
    """Return how many streams fit the device's memory, found by halving `bs`; 0 if not even one does.

    Parameters
    ----------
    learn : Learner
        The state of its model is reset.
    bs, seq_len : int
        Streams, and tokens of each, that did not fit.
    """
    while bs := bs // 2:
        gc.collect()  # what the failed batch held
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        ids = torch.ones(bs, seq_len, dtype=torch.long, device=learn.dls.device)
        try:
            learn.model.reset()
            learn.model(ids)[0].float().logsumexp(-1).sum().backward()
            return bs
        except RuntimeError as e:
            if not is_out_of_memory(e):
                raise
        finally:
            learn.model.zero_grad(set_to_none=True)
    return 0
