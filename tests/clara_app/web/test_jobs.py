"""The queue of jobs."""

import asyncio
import threading

import pytest

from clara.errors import BadSetting
from clara_app.web.jobs import JobQueue, QueueFull


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def read_events(jobs, job):
    return [event async for event in jobs.events(job)]


def test_events_come_in_the_order_in_which_they_are_sent():
    async def main():
        jobs = JobQueue()
        events = await read_events(jobs, jobs.submit(lambda job, send: [send({"n": i}) for i in range(3)]))
        jobs.close()
        return events

    assert run(main())[1:] == [{"n": 0}, {"n": 1}, {"n": 2}, {"done": True, "stopped": False}]


def test_a_clara_error_is_sent_and_the_next_job_runs():
    def bad(job, send):
        raise BadSetting("no such thing")

    def broken(job, send):
        raise ZeroDivisionError

    async def main():
        jobs = JobQueue()
        events = [await read_events(jobs, jobs.submit(work)) for work in (bad, broken, lambda job, send: None)]
        jobs.close()
        return [events[-1] for events in events]

    ours, theirs, fine = run(main())
    assert ours == {"error": "no such thing"} and "ZeroDivisionError" in theirs["error"] and fine["done"]


def test_one_after_another():
    running, most, gate = [], [], threading.Event()

    def work(job, send):
        running.append(job)
        most.append(len(running))
        gate.wait(5)
        running.remove(job)

    async def main():
        jobs = JobQueue(n_workers=1)
        submitted = [jobs.submit(work) for _ in range(3)]
        places = [jobs.position(j) for j in submitted]
        gate.set()
        await asyncio.gather(*(read_events(jobs, j) for j in submitted))
        jobs.close()
        return places, len(jobs.jobs)

    assert run(main()) == ([0, 1, 2], 0) and max(most) == 1


def test_too_many_jobs_are_refused():
    gate = threading.Event()

    async def main():
        jobs = JobQueue(n_workers=1, max_waiting=2)
        waiting = [jobs.submit(lambda job, send: gate.wait(5)) for _ in range(3)]
        with pytest.raises(QueueFull, match="3 others"):
            jobs.submit(lambda job, send: None)
        gate.set()
        await asyncio.gather(*(read_events(jobs, j) for j in waiting))
        await read_events(jobs, jobs.submit(lambda job, send: None))
        jobs.close()

    run(main())


def test_a_client_that_comes_back_gets_all_events():
    gate = threading.Event()

    async def main():
        jobs = JobQueue()
        job = jobs.submit(lambda job, send: (send({"n": 1}), gate.wait(10), send({"n": 2})), "mine")
        first = jobs.events(job)
        assert await anext(first) == {"request": "mine", "position": 0} and await anext(first) == {"n": 1}
        await first.aclose()
        readers = [asyncio.create_task(read_events(jobs, jobs.jobs["mine"])) for _ in range(2)]
        await asyncio.sleep(0.05)
        gate.set()
        events = await asyncio.gather(*readers)
        jobs.close()
        return events, job.stop.is_set()

    events, stopped = run(main())
    assert events[0] == events[1] and not stopped
    assert events[0][1:] == [{"n": 1}, {"n": 2}, {"done": True, "stopped": False}]


def test_a_job_stops_a_while_after_its_client_has_left(monkeypatch):
    monkeypatch.setattr("clara_app.web.jobs.UNREAD_SECONDS", 0.1)

    async def main():
        jobs = JobQueue()
        job = jobs.submit(lambda job, send: (send({"n": 1}), job.stop.wait(10)))
        reader = asyncio.create_task(read_events(jobs, job))
        await asyncio.sleep(0.4)
        was_stopped = job.stop.is_set()  # no: somebody waits for the next event
        reader.cancel()
        await asyncio.sleep(0.4)
        jobs.close()
        return was_stopped, job.stop.is_set()

    assert run(main()) == (False, True)


def test_a_job_that_nobody_reads_stops(monkeypatch):
    monkeypatch.setattr("clara_app.web.jobs.UNREAD_SECONDS", 0.05)

    async def main():
        jobs = JobQueue()
        job = jobs.submit(lambda job, send: job.stop.wait(10))
        await asyncio.sleep(0.5)
        jobs.close()
        return job.stop.is_set()

    assert run(main())
