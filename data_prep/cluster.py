"""Many machines: `data_prep.workers` on a Ray cluster, chunk by chunk.

Each Ray task takes one CPU and works through its chunk in a process beside Ray's worker
(a `WorkerPool` of one), so that the limits per piece hold there as they do on one machine, and
no piece can harm Ray's worker. A task whose worker or machine dies is begun anew elsewhere
by Ray; should that fail too often, the chunk comes back and its pieces go out one by one.

Clara must be installed on every machine, and sources and output lie on storage that all
of them see under the same paths.
"""

import contextlib
import os
import pickle
from collections import deque
from itertools import islice

from clara.errors import BadSetting
from data_prep.worker_pool import DIED, WorkerPool

CHUNK = 64  # pieces per Ray task: some tenths of a second, beside which Ray's own milliseconds are small
AHEAD = 4  # tasks per CPU that Ray holds, so that no CPU waits for the driver
RETRIES = 4  # by Ray, of a task whose worker or machine died
LOOK_SECONDS = 10  # for results, before looking at the cluster's size again


def process_on_ray(pieces, task, timeout_seconds, memory_mb, address="ray"):
    """`data_prep.workers.process_pieces` on all CPUs of a Ray cluster.

    Parameters
    ----------
    pieces, task, timeout_seconds, memory_mb : as there
    address : `ray` for the cluster of this machine (made for this run if there is none),
        `ray://host:port` for another

    Raises
    ------
    BadSetting
        If Ray is not installed or does not answer.
    """
    ray, ours = _connect(address)
    remote = ray.remote(num_cpus=1, max_retries=RETRIES)(_chunk)
    rest = (task, timeout_seconds, memory_mb, os.getcwd())
    running = {}
    try:
        yield from _collect(ray, pieces, lambda chunk: remote.remote(chunk, *rest), running)
    finally:
        for reference in running:  # when Ctrl-C came or the caller had enough
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _connect(address):
    """The ray module, connected, and whether the connection is this run's own."""
    if address != "ray" and not address.startswith("ray://"):
        raise BadSetting(f"--cluster must be ray or ray://host:port, not {address}")
    try:
        import ray
    except ImportError as e:
        raise BadSetting('--cluster needs Ray: pip install "clara-music[cluster]"') from e
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=None if address == "ray" else address, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as e:
        raise BadSetting(f"--cluster {address}: {e}") from e
    return ray, True


def _collect(ray, pieces, submit, running):
    """Yield what tasks bring back, with a bounded number of them under way: {reference: chunk}."""
    pieces, again = iter(pieces), deque()
    while True:
        room = AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
        while len(running) < room:
            chunk = again.popleft() if again else list(islice(pieces, CHUNK))
            if not chunk:
                break
            running[submit(chunk)] = chunk
        if not running:
            return
        for done in ray.wait(list(running), num_returns=1, timeout=LOOK_SECONDS)[0]:
            chunk = running.pop(done)
            try:
                told = ray.get(done)
            except ray.exceptions.RayError as e:
                told = _lost(chunk, e, again)
            yield from told


def _lost(chunk, error, again):
    """A chunk that Ray gave up: its pieces one by one, the one alone given up too."""
    if len(chunk) == 1:
        return [(chunk[0], None, f"{DIED}: {type(error).__name__}")]
    again.extend([piece] for piece in chunk)
    return []


def _chunk(pieces, task, timeout_seconds, memory_mb, folder):
    """Work through a chunk in one process beside Ray's; a list of (piece, result, reason)."""
    with contextlib.suppress(OSError):  # absolute paths need no such folder
        os.chdir(folder)
    return list(_crew(task, timeout_seconds, memory_mb).run(pieces))


_crews = {}  # the one of this worker, kept from chunk to chunk, as a process takes a second to come up


def _crew(*how):
    """The crew of this worker; spawned, as Ray's worker runs threads that a fork would break."""
    key = pickle.dumps(how)
    if key not in _crews:
        for crew in _crews.values():
            crew.stop()
        _crews.clear()
        task, timeout_seconds, memory_mb = how
        _crews[key] = WorkerPool(task, 1, timeout_seconds, memory_mb, start_method="spawn")
    return _crews[key]
