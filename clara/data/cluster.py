"""Run a task over many pieces on a Ray cluster, chunk by chunk.

Each Ray task takes one CPU and works through its chunk in a process beside Ray's worker (a
`WorkerPool` of one). The limits per piece therefore hold as on one machine, and no piece can
harm Ray's worker. Ray restarts a task elsewhere if its worker or machine dies. If that fails
too often, the chunk comes back and its pieces are sent one by one.

Clara must be installed on every machine. Sources and output must lie on storage that all
machines see under the same paths.
"""

import contextlib
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from clara.data.worker_pool import DIED, WorkerPool
from clara.errors import BadSetting

CHUNK_PIECES = 64  # pieces per Ray task: some tenths of a second, long beside Ray's own milliseconds
TASKS_PER_CPU = 4  # tasks queued per CPU, so that no CPU waits for the driver
MAX_RETRIES = 4  # by Ray, for a task whose worker or machine died
POLL_SECONDS = 10  # wait for results before looking at the cluster's size again


def process_on_ray(pieces: Iterable, task: Callable, settings) -> Iterator[tuple]:
    """Run `clara.data.workers.process_pieces` on all CPUs of a Ray cluster.

    Parameters
    ----------
    pieces, task
        As in `process_pieces`.
    settings : clara.data.workers.WorkerSettings
        With `cluster`: `ray` for the cluster of this machine (started for this run if there is
        none), or `ray://host:port` for another one.

    Raises
    ------
    BadSetting
        If Ray is not installed or does not answer.
    """
    ray, started_here = _connect(settings.cluster)
    remote = ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(_process_chunk)
    folder = os.getcwd()

    def submit(chunk):
        return remote.remote(chunk, task, settings.timeout_seconds, settings.memory_mb, folder)

    running = {}
    try:
        yield from _collect(ray, pieces, submit, running)
    finally:
        for reference in running:  # after Ctrl-C or when the caller stops early
            ray.cancel(reference, force=True)
        if started_here:
            ray.shutdown()


def _connect(address):
    """Return the connected ray module, and whether this run opened the connection."""
    if address != "ray" and not address.startswith("ray://"):
        raise BadSetting(f"--cluster must be ray or ray://host:port, not {address}")
    try:
        import ray
    except ImportError as error:
        raise BadSetting('--cluster needs Ray: pip install "clara-music[cluster]"') from error
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=None if address == "ray" else address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise BadSetting(f"--cluster {address}: {error}") from error
    return ray, True


def _collect(ray, pieces, submit, running):
    """Yield the outcomes of tasks; keep a bounded number of them in `running`, {reference: chunk}."""
    pieces = iter(pieces)
    retries = deque()
    while True:
        max_running = TASKS_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while len(running) < max_running:
            chunk = retries.popleft() if retries else list(islice(pieces, CHUNK_PIECES))
            if not chunk:
                break
            running[submit(chunk)] = chunk
        if not running:
            return
        finished, _ = ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS)
        for reference in finished:
            chunk = running.pop(reference)
            try:
                outcomes = ray.get(reference)
            except ray.exceptions.RayError as error:
                outcomes = _split_lost_chunk(chunk, error, retries)
            yield from outcomes


def _split_lost_chunk(chunk, error, retries):
    """Queue the pieces of a lost chunk one by one; give up a piece that was already alone."""
    if len(chunk) == 1:
        return [(chunk[0], None, f"{DIED}: {type(error).__name__}")]
    retries.extend([piece] for piece in chunk)
    return []


def _process_chunk(pieces, task, timeout_seconds, memory_mb, folder):
    """Work through a chunk in one process beside Ray's; return a list of (piece, result, reason)."""
    with contextlib.suppress(OSError):  # with absolute paths the folder does not matter
        os.chdir(folder)
    return list(_cached_pool(task, timeout_seconds, memory_mb).run(pieces))


_pools = {}  # the pool of this Ray worker, kept from chunk to chunk: a process takes a second to start


def _cached_pool(task, timeout_seconds, memory_mb):
    """Return this Ray worker's pool; processes are spawned, because a fork would break Ray's threads."""
    key = pickle.dumps((task, timeout_seconds, memory_mb))
    if key not in _pools:
        for pool in _pools.values():
            pool.stop()
        _pools.clear()
        _pools[key] = WorkerPool(task, 1, timeout_seconds, memory_mb, start_method="spawn")
    return _pools[key]
