"""Files that are either all there or not changed."""

import contextlib
import os
import tempfile
from pathlib import Path

from clara.errors import CannotWrite


def write_atomically(path, data):
    """Write a file in one move, so that a kill or a full disk leaves the old one.

    Parameters
    ----------
    path : where to; its folder must exist
    data : bytes, or str to be written as UTF-8

    Raises
    ------
    CannotWrite
        Naming the path and the system's reason.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data.encode() if isinstance(data, str) else data)
        part.replace(path)
    except OSError as e:
        with contextlib.suppress(OSError):
            part.unlink()
        raise CannotWrite(f"{path}: cannot be written ({e.strerror})") from e


def make_folder(path):
    """Make a folder with its parents and make sure that it can be written; returns its Path.

    Raises
    ------
    CannotWrite
        Naming the path and the system's reason.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise CannotWrite(f"{path}: not a folder that can be made ({e.strerror})") from e
    if not os.access(path, os.W_OK):
        raise CannotWrite(f"{path}: no permission to write there")
    return path


def make_empty_folder(path):
    """`make_folder` for one that must hold nothing yet, so that nothing is overwritten; returns its Path.

    Raises
    ------
    CannotWrite
        Naming the path, and what stands in the way.
    """
    folder = make_folder(path)
    if any(folder.iterdir()):
        raise CannotWrite(f"{folder}: not empty; nothing is overwritten, choose another --out")
    return folder


def cache_folder():
    """Clara's folder for what can be made again, by the XDG convention; a temporary one where that cannot be written."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "clara")
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="clara-"))
