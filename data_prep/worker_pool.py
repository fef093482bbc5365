"""Run a task over many pieces in worker processes, none of which can take the run down.

Each process has a pipe of its own, and the driver knows which piece each of them is at. So
a piece that hangs, crashes or eats memory costs itself alone, after its own time and no
other's. (concurrent.futures gives the whole pool up when one process dies, and pools that
hand out chunks must guess which of the chunk was to blame.) The driver holds a few pieces
per process, however many there are to come.

The cap on memory is the system's limit on a process's data (`RLIMIT_DATA`): on Linux its
heap and private mappings. Elsewhere it may hold less, and on Windows nothing.
"""

import contextlib
import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

AHEAD = 4  # pieces in a process's hands at a time, so that it never waits for the driver
MAX_TASKS = 4000  # pieces after which a process is replaced, with all that libraries kept in it
START_SECONDS = 60  # for a process to come up, beyond the first piece's own time
TRIES = 2  # of a piece whose process died: the first death can be the system's doing
TIMEOUT, OUT_OF_MEMORY, DIED, UNFORESEEN = "Timeout", "OutOfMemory", "WorkerDied", "Unforeseen"


@dataclass
class _Job:
    """A piece, and how many processes died of it."""

    piece: object
    deaths: int = 0


@dataclass(eq=False)
class _Worker:
    """A process, the driver's end of its pipe, and its jobs; it is at the first of them."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    deadline: float  # of its first job, on the monotonic clock
    jobs: deque = field(default_factory=deque)
    n_given: int = 0

    def give(self, job, timeout_seconds):
        """Hand it a job; if it is dead, its pipe will tell."""
        if not self.jobs:
            self.deadline = max(self.deadline, time.monotonic() + timeout_seconds)
        self.jobs.append(job)
        self.n_given += 1
        with contextlib.suppress(OSError):
            self.pipe.send(job.piece)

    def death(self):
        """How it ended, in the manifest's words."""
        self.process.join(1)
        code = self.process.exitcode
        return f"{DIED}: {signal.Signals(-code).name if code and code < 0 else f'status {code}'}"


class WorkerPool:
    """Processes for one task, to be stopped in the end.

    Parameters
    ----------
    task, n_workers, timeout_seconds, memory_mb : as of `process_pieces`
    start_method : of multiprocessing, None for the system's own
    """

    def __init__(self, task, n_workers, timeout_seconds, memory_mb, start_method=None):
        self.task, self.n_workers = task, n_workers
        self.timeout_seconds, self.memory_mb = timeout_seconds, memory_mb
        self.context = multiprocessing.get_context(start_method)
        self.workers, self.again = [], deque()

    def run(self, pieces):
        """Yield (piece, result, reason) until every piece is done; the processes stay for more."""
        jobs = map(_Job, pieces)
        while True:
            self._hand_out(jobs)
            busy = {w.pipe: w for w in self.workers if w.jobs}
            if not busy:
                return
            patience = max(0.0, min(w.deadline for w in busy.values()) - time.monotonic())
            for pipe in wait(list(busy), timeout=patience):
                yield from self._hear(busy.pop(pipe))
            for worker in busy.values():
                if time.monotonic() > worker.deadline and not worker.pipe.poll():
                    yield from self._lose(worker, TIMEOUT)

    def _hand_out(self, jobs):
        """Give every worker enough to do; a worker is made when there is work for it."""
        for worker in [w for w in self.workers if w.n_given >= MAX_TASKS and not w.jobs]:
            self._stop_worker(worker)
        while True:
            ready = [w for w in self.workers if w.n_given < MAX_TASKS]
            idlest = min(ready, key=lambda w: len(w.jobs), default=None)
            may_hire = len(self.workers) < self.n_workers and (idlest is None or idlest.jobs)
            if not may_hire and (idlest is None or len(idlest.jobs) >= AHEAD):
                return
            job = self.again.popleft() if self.again else next(jobs, None)
            if job is None:
                return
            (self._start_worker() if may_hire else idlest).give(job, self.timeout_seconds)

    def _hear(self, worker):
        """Take what a worker has to say: that it is up, an outcome, or its end."""
        try:
            told = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._lose(worker, worker.death())
            return
        worker.deadline = time.monotonic() + self.timeout_seconds
        if told is None:
            return
        if told[1] == OUT_OF_MEMORY:  # its heap may be in pieces: it goes too
            yield from self._lose(worker, OUT_OF_MEMORY)
            return
        yield worker.jobs.popleft().piece, *told

    def _lose(self, worker, reason):
        """End a worker that failed at its first job; that job is begun anew or given up."""
        self._stop_worker(worker)
        job = worker.jobs.popleft()
        self.again.extend(worker.jobs)
        job.deaths += 1
        if reason != TIMEOUT and job.deaths < TRIES:
            self.again.append(job)
        else:
            yield job.piece, None, reason

    def _start_worker(self):
        """A new worker."""
        ours, theirs = self.context.Pipe()
        forked = self.context.get_start_method() == "fork"
        inherited = [ours, *(w.pipe for w in self.workers)] if forked else []
        process = self.context.Process(target=_serve, args=(theirs, inherited, self.task, self.memory_mb), daemon=True)
        process.start()
        theirs.close()  # so that the worker's end is the worker's alone, and its death is heard
        self.workers.append(_Worker(process, ours, time.monotonic() + START_SECONDS + self.timeout_seconds))
        return self.workers[-1]

    def _stop_worker(self, worker):
        """End a worker at once."""
        self.workers.remove(worker)
        worker.process.kill()
        worker.process.join()
        worker.pipe.close()

    def stop(self):
        """End all."""
        for worker in list(self.workers):
            self._stop_worker(worker)


def _serve(pipe, inherited, task, memory_mb):
    """A worker process: say that it is up, then answer each piece with its outcome."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:  # the driver's ends: held here they would hide its death from the others
        other.close()
    _cap_memory(memory_mb)
    with contextlib.suppress(EOFError, OSError):  # the driver is gone
        pipe.send(None)
        while True:
            pipe.send_bytes(_outcome(task, pipe.recv()))


def _outcome(task, piece):
    """(result, reason) of a piece, pickled."""
    try:
        return pickle.dumps((task(piece), ""))
    except MemoryError:
        reason = OUT_OF_MEMORY
    except Exception as e:  # noqa: BLE001 - whatever a library did
        reason = f"{UNFORESEEN}: {type(e).__name__}: {str(e)[:120]}"
    return pickle.dumps((None, reason))


def _cap_memory(memory_mb):
    """Let this process's data grow by memory_mb MiB and no more."""
    try:
        import resource
    except ImportError:  # Windows has none
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + int(memory_mb * 2**20)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _data_bytes():
    """Bytes of this process that count against `RLIMIT_DATA`, as Linux tells them; else 0."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[5]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
