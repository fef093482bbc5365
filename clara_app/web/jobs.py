"""A queue of jobs, a few of which run at a time.

A job writes events and its client reads them as they come. The job stops when the client leaves.
"""

import asyncio
import secrets
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from clara.errors import ClaraError

MAX_WAITING = 16  # jobs in the queue; further clients are asked to come back later
UNREAD_SECONDS = 30.0  # a job whose events nobody reads stops after this time


class QueueFull(ClaraError):
    """Too many jobs are waiting."""


@dataclass(eq=False)
class Job:
    """A piece of work that a client asked for.

    Attributes
    ----------
    id : str
    events : asyncio.Queue of dict
        The last event has the key `done` or `error`.
    stop : threading.Event
        Asks the work to end early.
    unread_timer : asyncio.TimerHandle, optional
        Sets `stop` unless a client starts to read the events.
    """

    id: str
    events: asyncio.Queue
    stop: threading.Event = field(default_factory=threading.Event)
    unread_timer: asyncio.TimerHandle | None = None


class JobQueue:
    """Jobs, run in the order in which they came.

    Parameters
    ----------
    n_workers : int
        Number of jobs that run at the same time.
    max_waiting : int
        Largest number of jobs that wait.
    """

    def __init__(self, n_workers: int = 1, max_waiting: int = MAX_WAITING) -> None:
        self.n_workers = n_workers
        self.max_waiting = max_waiting
        self.pool = ThreadPoolExecutor(n_workers, thread_name_prefix="composing")
        self.jobs: OrderedDict[str, Job] = OrderedDict()

    def submit(self, work: Callable[[Job, Callable[[dict], None]], object]) -> Job:
        """Queue a job; call this within the event loop.

        Parameters
        ----------
        work : function(job, send)
            Runs in a thread; `send(event)` sends a dict to the client.

        Raises
        ------
        QueueFull
            If too many jobs wait.
        """
        if len(self.jobs) >= self.n_workers + self.max_waiting:
            raise QueueFull(f"{len(self.jobs)} others are waiting; please come back in a minute")
        loop = asyncio.get_running_loop()
        job = Job(secrets.token_urlsafe(12), asyncio.Queue())
        job.unread_timer = loop.call_later(UNREAD_SECONDS, job.stop.set)
        self.jobs[job.id] = job

        def send(event):
            loop.call_soon_threadsafe(job.events.put_nowait, event)

        self.pool.submit(self._run, job, work, send, loop)
        return job

    def _run(self, job, work, send, loop):
        """Run a job in a thread and send its last event, however it ends."""
        last_event = {}
        try:
            if not job.stop.is_set():
                work(job, send)
            last_event = {"done": True, "stopped": job.stop.is_set()}
        except ClaraError as e:
            last_event = {"error": str(e)}
        except BaseException as e:  # the client must hear of it, and the next job must run
            last_event = {"error": f"something went wrong here ({type(e).__name__})"}
            raise
        finally:
            # the job leaves the queue first, so that a client who reads the last event may submit again
            loop.call_soon_threadsafe(self.jobs.pop, job.id, None)
            send(last_event)

    def position(self, job: Job) -> int:
        """Return how many jobs wait before this one."""
        if job.id not in self.jobs:
            return 0
        return max(0, list(self.jobs).index(job.id) - self.n_workers + 1)

    async def events(self, job: Job) -> AsyncIterator[dict]:
        """Yield the events of a job until its end; stop the job when the client leaves or reads no more."""
        if job.unread_timer:
            job.unread_timer.cancel()
        ended = False
        event = {"position": self.position(job)}
        try:
            while True:
                unread_timer = asyncio.get_running_loop().call_later(UNREAD_SECONDS, job.stop.set)
                try:
                    yield event
                finally:
                    unread_timer.cancel()
                if ended:
                    return
                event = await job.events.get()
                ended = "done" in event or "error" in event
        finally:
            if not ended:
                job.stop.set()

    def close(self) -> None:
        """Stop all jobs and wait for them."""
        for job in list(self.jobs.values()):
            job.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
