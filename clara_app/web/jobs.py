"""Who is composed for, and when: a queue of which a few are worked on at a time.

A job writes events; whoever asked reads them as they come. When the reader leaves, the job stops.
"""

import asyncio
import secrets
import threading
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from clara.errors import ClaraError

WAITING = 16  # jobs in the queue, beyond which the page asks to come back
UNREAD_SECONDS = 30.0  # after which a job that nobody listens to stops


class Busy(ClaraError):
    """Too many are waiting."""


@dataclass(eq=False)
class Job:
    """One press of the button.

    Attributes
    ----------
    name : that nobody guesses
    events : asyncio.Queue of dict; the last one has `done` or `error`
    stop : threading.Event
    heard : function(), called when somebody listens
    """

    name: str
    events: asyncio.Queue
    stop: threading.Event = field(default_factory=threading.Event)
    heard: object = None


class Jobs:
    """Jobs in the order they came.

    Parameters
    ----------
    at_once : worked on side by side
    waiting : most in the queue
    """

    def __init__(self, at_once=1, waiting=WAITING):
        self.at_once, self.waiting = at_once, waiting
        self.pool = ThreadPoolExecutor(at_once, thread_name_prefix="composing")
        self.jobs = OrderedDict()

    def submit(self, work):
        """Queue some work; call within the event loop.

        Parameters
        ----------
        work : function(job, tell), run in a thread; tell(dict) sends an event

        Returns
        -------
        Job

        Raises
        ------
        Busy
            If too many wait.
        """
        if len(self.jobs) >= self.at_once + self.waiting:
            raise Busy(f"{len(self.jobs)} others are waiting; please come back in a minute")
        loop, job = asyncio.get_running_loop(), Job(secrets.token_urlsafe(12), asyncio.Queue())
        self.jobs[job.name] = job
        unread = loop.call_later(UNREAD_SECONDS, job.stop.set)
        job.heard = unread.cancel

        def tell(event):
            loop.call_soon_threadsafe(job.events.put_nowait, event)

        self.pool.submit(self._work, job, work, tell, loop)
        return job

    def _work(self, job, work, tell, loop):
        """In a thread: the work, and its end, whatever that is; it has left the queue by then, so that who hears it may ask again."""
        try:
            if not job.stop.is_set():
                work(job, tell)
            end = {"done": True, "stopped": job.stop.is_set()}
        except ClaraError as e:
            end = {"error": str(e)}
        except BaseException as e:  # the page must hear of it, and the next job must run
            end = {"error": f"something went wrong here ({type(e).__name__})"}
            raise
        finally:
            loop.call_soon_threadsafe(self.jobs.pop, job.name, None)
            tell(end)

    def place(self, job):
        """How many are before a job."""
        return max(0, list(self.jobs).index(job.name) - self.at_once + 1) if job.name in self.jobs else 0

    async def events(self, job):
        """The events of a job until its end; stops it when the reader leaves."""
        job.heard()
        ended = False
        try:
            yield {"place": self.place(job)}
            while not ended:
                event = await job.events.get()
                ended = "done" in event or "error" in event
                yield event
        finally:
            if not ended:
                job.stop.set()

    def close(self):
        """Stop all."""
        for job in self.jobs.values():
            job.stop.set()
        self.pool.shutdown(wait=True, cancel_futures=True)
