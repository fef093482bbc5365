"""Read files of strangers in a few processes of their own, with limits of time and memory.

A file that takes too long, takes too much memory or crashes a library ends its process and nothing else. The processes
stay for the next files. They are no `multiprocessing` processes, which would import the caller's script again.
"""

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from clara.errors import BadMusicFile
from clara.music.expression import Expression
from clara.music.notes import NoteSequence

START_SECONDS = 120.0  # for a process to import its libraries and compile
MAX_FILES = 500  # after which a process is replaced, because libraries leak memory
SIZE_BYTES = 8  # of the number before each answer
SCRIPT = "import sys; sys.path[:] = {path!r}; from clara.music.reader_process import serve; serve({memory_mb})"


class LimitedReader:
    """Reads files, a few at a time; further callers wait.

    Parameters
    ----------
    n_processes : int
        Number of files that are read at the same time.
    memory_mb : int
        MiB that a process may allocate beyond what it holds at its start.
    """

    def __init__(self, n_processes: int = 1, memory_mb: int = 2048):
        self.memory_mb = memory_mb
        self._owner = os.getpid()
        self._slots: queue.LifoQueue[_Process | None] = queue.LifoQueue()
        for _ in range(n_processes):
            self._slots.put(None)

    def read(
        self,
        path: str | os.PathLike,
        steps_per_quarter: int = 12,
        ensemble: str = "piano",
        *,
        seconds: float = 60.0,
        name: str | None = None,
    ) -> tuple[NoteSequence, Counter]:
        """Read a file as `clara.music.read.read_music_and_losses` does.

        Parameters
        ----------
        path, steps_per_quarter, ensemble
            As of `read_music_and_losses`.
        seconds : float
            Time limit.
        name : str, optional
            What messages call the file (default: its path).

        Raises
        ------
        ClaraError
            As `read_music_and_losses`, and BadMusicFile if a limit is exceeded or the process crashes.
        """
        return self._ask(path, steps_per_quarter, ensemble, seconds, name, performed=False)

    def read_performed(
        self,
        path: str | os.PathLike,
        steps_per_quarter: int = 12,
        ensemble: str = "piano",
        *,
        seconds: float = 60.0,
        name: str | None = None,
    ) -> tuple[NoteSequence, Expression]:
        """Read a MIDI file as `clara.music.performed_midi.read_performed_midi` does; parameters as of `read`."""
        return self._ask(path, steps_per_quarter, ensemble, seconds, name, performed=True)

    def _ask(self, path, steps_per_quarter, ensemble, seconds, name, performed):
        """Return the answer of a process to a request; raise the error that it answers with."""
        name = str(path) if name is None else name
        path = os.path.abspath(path)
        request = {
            "path": path,
            "steps_per_quarter": steps_per_quarter,
            "ensemble": ensemble,
            "performed": performed,
        }
        with self._borrow_process() as process:
            answer = process.ask(request, seconds)
        if isinstance(answer, _Failure):
            raise BadMusicFile(f"{name}: cannot be read ({answer})")
        if isinstance(answer, Exception):
            raise type(answer)(str(answer).replace(path, name))
        return answer

    @contextmanager
    def _borrow_process(self) -> Iterator["_Process"]:
        """Wait for a process to be free, and start it if it does not run."""
        process = self._slots.get()
        try:
            if process is None or not process.is_usable():
                process = _Process(self.memory_mb)
            yield process
        finally:
            self._slots.put(process)

    def is_owned(self) -> bool:
        """Return whether this process made the reader; a forked one must make its own."""
        return self._owner == os.getpid()


class _Failure(str):
    """What happened to a process instead of an answer."""


class _Process:
    """A process that reads one file after the other."""

    def __init__(self, memory_mb):
        script = SCRIPT.format(path=[entry or os.getcwd() for entry in sys.path], memory_mb=int(memory_mb))
        self.n_files = 0
        self.popen = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.started = False
        self._end = weakref.finalize(self, _end_process, self.popen, os.getpid())  # at the latest when Python exits

    def is_usable(self):
        """Return whether the process can take another file; end it if it cannot."""
        if self.n_files < MAX_FILES and self.popen.poll() is None:
            return True
        self._end()
        return False

    def ask(self, request, seconds):
        """Return the answer to a request, or a _Failure."""
        if not self.started:
            answer = self._receive(START_SECONDS)
            if isinstance(answer, _Failure):
                return answer
            self.started = True
        self.n_files += 1
        with suppress(OSError):  # it is dead, which `_receive` reports
            self.popen.stdin.write(json.dumps(request).encode() + b"\n")
            self.popen.stdin.flush()
        return self._receive(seconds)

    def _receive(self, seconds):
        """Return the next answer, or a _Failure if it does not come in time."""
        is_late = threading.Event()

        def kill():
            is_late.set()
            self.popen.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        try:
            size = self.popen.stdout.read(SIZE_BYTES)
            data = self.popen.stdout.read(int.from_bytes(size)) if len(size) == SIZE_BYTES else b""
        finally:
            timer.cancel()
            timer.join()  # it may be about to end the process
        if data and len(data) == int.from_bytes(size) and not is_late.is_set():
            answer, is_last = pickle.loads(data)
            if is_last:
                self._end()
            return answer
        self._end()
        if is_late.is_set():
            return _Failure(f"Timeout: more than {seconds:g} seconds")
        return _Failure(f"the reader ended with status {self.popen.returncode}")


def _end_process(popen, owner):
    """End a process and close its pipes; a forked copy of this process only closes its copies of the pipes."""
    if os.getpid() == owner:
        popen.kill()
        popen.wait()
    else:
        popen.returncode = 0  # not ours to wait for
    for pipe in (popen.stdin, popen.stdout):
        with suppress(OSError):
            pipe.close()


def shared_reader() -> LimitedReader:
    """Return the reader that the commands and notebooks of this process share."""
    reader = _shared_reader()
    if not reader.is_owned():  # this process was forked
        _shared_reader.cache_clear()
        reader = _shared_reader()
    return reader


@cache
def _shared_reader():
    return LimitedReader()
