"""Run a task over many pieces in worker processes with limits of time and memory.

Each worker has its own pipe, and the driver knows which piece each worker is at. A piece that
hangs, crashes or eats memory therefore fails alone, after its own time limit.
(`concurrent.futures` gives up the whole pool when one process dies, and a pool that hands out
chunks cannot say which piece of the chunk was to blame.) The driver holds only a few pieces
per worker, however many there are in all.

The memory limit is the system's limit on a process's data (`RLIMIT_DATA`). On Linux it covers
the heap and private mappings; elsewhere it may cover less, and Windows has no such limit.
"""

import contextlib
import multiprocessing
import pickle
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from clara.memory import limit_memory

PIECES_AHEAD = 4  # pieces queued at a worker, so that it never waits for the driver
MAX_TASKS = 4000  # pieces after which a worker is replaced, because libraries leak memory
START_SECONDS = 60  # time for a worker to start, on top of the first piece's limit
MAX_ATTEMPTS = 2  # per piece whose worker died; the first death may be the system's doing
TIMEOUT, OUT_OF_MEMORY, DIED, UNFORESEEN = "Timeout", "OutOfMemory", "WorkerDied", "Unforeseen"


@dataclass
class _Job:
    """A piece, and the number of workers that died while working on it."""

    piece: object
    deaths: int = 0


@dataclass(eq=False)
class _Worker:
    """A process, the driver's end of its pipe, and its queue; it works on the first job."""

    process: BaseProcess
    pipe: Connection
    deadline: float  # of the first job, on the monotonic clock
    jobs: deque = field(default_factory=deque)
    n_jobs_sent: int = 0

    def send(self, job, timeout_seconds):
        """Queue a job; if the worker is dead, reading its pipe will show that."""
        if not self.jobs:
            self.deadline = max(self.deadline, time.monotonic() + timeout_seconds)
        self.jobs.append(job)
        self.n_jobs_sent += 1
        with contextlib.suppress(OSError):
            self.pipe.send(job.piece)

    def describe_death(self):
        """Return the reason that the manifest records for a dead worker."""
        self.process.join(1)
        code = self.process.exitcode
        how = signal.Signals(-code).name if code and code < 0 else f"status {code}"
        return f"{DIED}: {how}"


class WorkerPool:
    """Worker processes for one task; call `stop` at the end.

    Parameters
    ----------
    task : picklable callable
        Takes a piece and returns something picklable.
    n_workers : int
        Number of processes.
    timeout_seconds : float
        Time limit for one piece.
    memory_mb : int
        MiB that a worker may allocate beyond what it holds at its start.
    start_method : str or None
        Start method of `multiprocessing` (default: the system's own).
    """

    def __init__(
        self,
        task: Callable,
        n_workers: int,
        timeout_seconds: float,
        memory_mb: int,
        start_method: str | None = None,
    ):
        self.task = task
        self.n_workers = n_workers
        self.timeout_seconds = timeout_seconds
        self.memory_mb = memory_mb
        self.context = multiprocessing.get_context(start_method)
        self.workers = []
        self.retries = deque()

    def run(self, pieces: Iterable) -> Iterator[tuple]:
        """Yield `(piece, result, reason)` until every piece is done; the workers stay alive.

        See `clara.data.workers.process_pieces` for what the three values mean.
        """
        jobs = map(_Job, pieces)
        while True:
            self._distribute(jobs)
            busy = {worker.pipe: worker for worker in self.workers if worker.jobs}
            if not busy:
                return
            first_deadline = min(worker.deadline for worker in busy.values())
            for pipe in wait(list(busy), timeout=max(0.0, first_deadline - time.monotonic())):
                yield from self._receive(busy.pop(pipe))
            for worker in busy.values():
                if time.monotonic() > worker.deadline and not worker.pipe.poll():
                    yield from self._give_up(worker, TIMEOUT)

    def stop(self) -> None:
        """End all workers."""
        for worker in list(self.workers):
            self._stop_worker(worker)

    def _distribute(self, jobs):
        """Fill the workers' queues; start a worker only when there is work for it."""
        for worker in list(self.workers):
            if worker.n_jobs_sent >= MAX_TASKS and not worker.jobs:
                self._stop_worker(worker)
        while True:
            usable = [worker for worker in self.workers if worker.n_jobs_sent < MAX_TASKS]
            idlest = min(usable, key=lambda worker: len(worker.jobs), default=None)
            all_busy = idlest is None or bool(idlest.jobs)
            start_another = len(self.workers) < self.n_workers and all_busy
            if not start_another and (idlest is None or len(idlest.jobs) >= PIECES_AHEAD):
                return
            job = self.retries.popleft() if self.retries else next(jobs, None)
            if job is None:
                return
            worker = self._start_worker() if start_another else idlest
            worker.send(job, self.timeout_seconds)

    def _receive(self, worker):
        """Read one message of a worker: that it has started, an outcome, or its end."""
        try:
            outcome = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._give_up(worker, worker.describe_death())
            return
        worker.deadline = time.monotonic() + self.timeout_seconds
        if outcome is None:  # the worker has started
            return
        result, reason = outcome
        if reason == OUT_OF_MEMORY:  # its heap may be fragmented, so the worker goes too
            yield from self._give_up(worker, OUT_OF_MEMORY)
            return
        yield worker.jobs.popleft().piece, result, reason

    def _give_up(self, worker, reason):
        """End a worker that failed at its first job; retry that job or yield its failure."""
        self._stop_worker(worker)
        job = worker.jobs.popleft()
        self.retries.extend(worker.jobs)
        job.deaths += 1
        if reason != TIMEOUT and job.deaths < MAX_ATTEMPTS:
            self.retries.append(job)
        else:
            yield job.piece, None, reason

    def _start_worker(self):
        """Start a worker and return it."""
        our_end, worker_end = self.context.Pipe()
        forked = self.context.get_start_method() == "fork"
        inherited = [our_end, *(worker.pipe for worker in self.workers)] if forked else []
        process = self.context.Process(
            target=_serve, args=(worker_end, inherited, self.task, self.memory_mb), daemon=True
        )
        process.start()
        worker_end.close()  # only the worker holds it now, so its death closes the pipe
        deadline = time.monotonic() + START_SECONDS + self.timeout_seconds
        worker = _Worker(process, our_end, deadline)
        self.workers.append(worker)
        return worker

    def _stop_worker(self, worker):
        """End a worker at once."""
        self.workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()


def _serve(pipe, inherited, task, memory_mb):
    """Run a worker process: report that it has started, then answer each piece with its outcome."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver handles Ctrl-C
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for driver_end in inherited:  # held open here, they would hide the driver's death from other workers
        driver_end.close()
    limit_memory(memory_mb)
    with contextlib.suppress(EOFError, OSError):  # the driver is gone
        pipe.send(None)
        while True:
            pipe.send_bytes(_run_task(task, pipe.recv()))


def _run_task(task, piece):
    """Return the pickled pair (result, reason) of a piece."""
    try:
        return pickle.dumps((task(piece), ""))
    except MemoryError:
        reason = OUT_OF_MEMORY
    except Exception as error:  # noqa: BLE001 - a library may raise anything
        reason = f"{UNFORESEEN}: {type(error).__name__}: {str(error)[:120]}"
    return pickle.dumps((None, reason))
