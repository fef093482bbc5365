"""A queue of jobs, a few of which run at a time.

A job writes events and its clients read them from the first one on, as they come. So a page that was loaded again gets
all of them. A job stops once nobody has read its events for a while.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from clara.errors import ClaraError
from clara_app.web.library import new_id

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
    events : list of dict
        What happened so far. The last event has the key `done` or `error`.
    news : asyncio.Event
        Is set when there is another event.
    stop : threading.Event
        Asks the work to end early.
    n_waiting : int
        Number of clients that wait for the next event.
    unread_timer : asyncio.TimerHandle, optional
        Sets `stop` unless a client reads the events; it runs while none waits for them.
    """

    id: str
    events: list[dict] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    n_waiting: int = 0
    unread_timer: asyncio.TimerHandle | None = None

    def add_event(self, event: dict) -> None:
        """Add an event, within the event loop."""
        self.events.append(event)
        self.news.set()

    async def wait_for_news(self) -> None:
        """Wait for the next event; meanwhile somebody reads the job's events."""
        self.n_waiting += 1
        self.watch_readers()
        try:
            self.news.clear()
            await self.news.wait()
        finally:
            self.n_waiting -= 1
            self.watch_readers()

    def watch_readers(self) -> None:
        """Start the timer that stops the job, unless a client waits for its events."""
        if self.unread_timer:
            self.unread_timer.cancel()
        timer = None if self.n_waiting else asyncio.get_running_loop().call_later(UNREAD_SECONDS, self.stop.set)
        self.unread_timer = timer


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

    def submit(self, work: Callable[[Job, Callable[[dict], None]], object], job_id: str | None = None) -> Job:
        """Queue a job; call this within the event loop.

        Parameters
        ----------
        work : function(job, send)
            Runs in a thread; `send(event)` sends a dict to the clients.
        job_id : str, optional
            Default: a new one.

        Raises
        ------
        QueueFull
            If too many jobs wait.
        """
        self.check_room()
        loop = asyncio.get_running_loop()
        job = Job(job_id or new_id())
        job.watch_readers()
        self.jobs[job.id] = job

        def send(event):
            loop.call_soon_threadsafe(job.add_event, event)

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

    def check_room(self) -> None:
        """Raise QueueFull if too many jobs wait."""
        if len(self.jobs) >= self.n_workers + self.max_waiting:
            raise QueueFull(f"{len(self.jobs)} others are waiting; please come back in a minute")

    def position(self, job: Job) -> int:
        """Return how many jobs wait before this one."""
        if job.id not in self.jobs:
            return 0
        return max(0, list(self.jobs).index(job.id) - self.n_workers + 1)

    async def events(self, job: Job) -> AsyncIterator[dict]:
        """Yield the place of a job in the queue, and its events from the first to the last."""
        yield {"request": job.id, "position": self.position(job)}
        n_read = 0
        while True:
            while n_read < len(job.events):
                event = job.events[n_read]
                n_read += 1
                yield event
                if "done" in event or "error" in event:
                    return
            await job.wait_for_news()

    def close(self) -> None:
        """Stop all jobs and wait for them."""
        for job in list(self.jobs.values()):
            job.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
