"""Run a task over many pieces, on this machine or on a cluster."""

from clara.jit import load_all
from data_prep.worker_pool import WorkerPool


def process_pieces(pieces, task, *, workers=1, timeout_seconds=60.0, memory_mb=2048, cluster=None):
    """Run `task(piece)` for every piece in other processes.

    Parameters
    ----------
    pieces : iterable, taken as it is needed; of small picklable things
    task : picklable callable of a piece, giving something picklable; called again for a piece
        if the process or the machine of the first call died
    workers : processes, on this machine
    timeout_seconds : for one piece
    memory_mb : MiB that a process may take above what it holds at its start
    cluster : None for this machine; `ray` or `ray://host:port` for all CPUs of a Ray cluster,
        see `data_prep.cluster`

    Yields
    ------
    piece, result, reason : in the order of completion. reason is empty, or says why there is
        no result (None): `Timeout`, `OutOfMemory`, `WorkerDied: ` and its signal or status, or
        `Unforeseen: ` and the error that the task let through

    Raises
    ------
    BadSetting
        If there is no such cluster.
    """
    if cluster is not None:
        from data_prep.cluster import process_on_ray  # for those who have Ray

        yield from process_on_ray(pieces, task, timeout_seconds, memory_mb, cluster)
        return
    load_all()  # for all workers, and before their limits
    pool = WorkerPool(task, workers, timeout_seconds, memory_mb)
    try:
        yield from pool.run(pieces)
    finally:  # also when Ctrl-C comes or the caller has enough
        pool.stop()
