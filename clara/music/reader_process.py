"""Serve the requests of `clara.music.limited_reader`: read files, and answer on the standard output."""

import json
import os
import pickle
import sys

from clara.errors import BadMusicFile, ClaraError
from clara.jit import load_all
from clara.memory import limit_memory
from clara.music.limited_reader import SIZE_BYTES
from clara.music.performed_midi import read_performed_midi
from clara.music.read import read_directly


def serve(memory_mb: int) -> None:
    """Read files until the standard input ends.

    Parameters
    ----------
    memory_mb : int
        MiB that reading may allocate.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    load_all()
    limit_memory(memory_mb)
    _send(answers, ("started", False))
    for line in sys.stdin.buffer:
        _send(answers, _read(json.loads(line)))


def _read(request):
    """Return what was read of a file or an error, and whether this is the last answer of the process."""
    path, steps_per_quarter, ensemble = request["path"], request["steps_per_quarter"], request["ensemble"]
    try:
        if request["performed"]:
            return read_performed_midi(path, steps_per_quarter=steps_per_quarter, ensemble=ensemble), False
        return read_directly(path, steps_per_quarter, ensemble=ensemble), False
    except ClaraError as e:
        return type(e)(str(e)), False
    except MemoryError:
        return BadMusicFile(f"{path}: cannot be read (OutOfMemory)"), True  # the heap may be fragmented
    except Exception as e:  # noqa: BLE001 - a library may raise anything
        return BadMusicFile(f"{path}: cannot be read ({type(e).__name__}: {str(e)[:120]})"), False


def _send(answers, answer):
    """Send an answer with its size before it."""
    data = pickle.dumps(answer)
    answers.write(len(data).to_bytes(SIZE_BYTES) + data)
    answers.flush()
