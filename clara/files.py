"""Write files atomically and make folders."""

import contextlib
import os
import tempfile
from pathlib import Path

from clara.errors import CannotWrite


def write_atomically(path: str | os.PathLike, data: bytes | str) -> None:
    """Write a file in one move, so that a kill or a full disk leaves the old file intact.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    data : bytes or str
        A str is written as UTF-8.

    Raises
    ------
    CannotWrite
        If the file cannot be written; the message gives the path and the system's reason.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        temporary.replace(path)
    except OSError as e:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CannotWrite(f"{path}: cannot be written ({e.strerror})") from e


def make_folder(path: str | os.PathLike) -> Path:
    """Make a folder and its parents, check that it is writable, and return its path.

    Raises
    ------
    CannotWrite
        If that fails; the message gives the path and the reason.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise CannotWrite(f"{path}: this folder cannot be made ({e.strerror})") from e
    if not os.access(path, os.W_OK):
        raise CannotWrite(f"{path}: no permission to write there")
    return path


def make_empty_folder(path: str | os.PathLike) -> Path:
    """Make a folder as `make_folder` does, refuse one that holds files, and return its path.

    Raises
    ------
    CannotWrite
        If the folder cannot be made or is not empty.
    """
    folder = make_folder(path)
    if any(folder.iterdir()):
        raise CannotWrite(f"{folder}: not empty; nothing is overwritten, choose another --out")
    return folder


def cache_folder() -> Path:
    """Return the folder for data that can be computed again.

    It is `clara` under $XDG_CACHE_HOME or ~/.cache, or a temporary folder where that is not writable.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "clara")
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="clara-"))
