"""Run a task over many pieces, on this machine or on a cluster."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from clara.data.worker_pool import WorkerPool
from clara.jit import load_all


@dataclass(frozen=True)
class WorkerSettings:
    """Where pieces are processed and what each may use.

    Attributes
    ----------
    workers : int
        Number of processes on this machine.
    timeout_seconds : float
        Time limit for one piece.
    memory_mb : int
        MiB that a process may allocate beyond what it holds at its start.
    cluster : str or None
        None for this machine; `ray` or `ray://host:port` for all CPUs of a Ray cluster.
    """

    workers: int = 1
    timeout_seconds: float = 60.0
    memory_mb: int = 2048
    cluster: str | None = None


def process_pieces(pieces: Iterable, task: Callable, settings: WorkerSettings | None = None) -> Iterator[tuple]:
    """Run `task(piece)` for every piece in other processes.

    Parameters
    ----------
    pieces : iterable of small picklable objects
        Read only as far as needed.
    task : picklable callable
        Takes a piece and returns something picklable. It is called again for a piece if the
        process or the machine of the first call died.
    settings : WorkerSettings
        Default: `WorkerSettings()`.

    Yields
    ------
    piece, result, reason : tuple
        In the order of completion. `reason` is empty on success. Otherwise `result` is None and
        `reason` is `Timeout`, `OutOfMemory`, `WorkerDied: <signal or status>` or
        `Unforeseen: <the error that the task raised>`.

    Raises
    ------
    BadSetting
        If the cluster cannot be reached.
    """
    settings = settings or WorkerSettings()
    if settings.cluster is not None:
        from clara.data.cluster import process_on_ray  # Ray is optional

        yield from process_on_ray(pieces, task, settings)
        return
    load_all()  # compile once in the driver, before workers start and their memory is limited
    pool = WorkerPool(task, settings.workers, settings.timeout_seconds, settings.memory_mb)
    try:
        yield from pool.run(pieces)
    finally:  # also after Ctrl-C or when the caller stops early
        pool.stop()
