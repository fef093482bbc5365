"""Write files atomically, make and lock folders, and resolve names inside a folder."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath

from clara.errors import CannotWrite, OutsideFolder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def path_inside(folder: str | os.PathLike, name: str) -> Path:
    """Return the path of a name that a file of ours holds, and refuse a name that leads out of the folder.

    Use it wherever a manifest, a config or another file names a file: it may come from a stranger.

    Parameters
    ----------
    folder : path
        The folder that the name belongs to.
    name : str
        A relative path with forward slashes.

    Raises
    ------
    OutsideFolder
        If the name is absolute, climbs out with `..`, follows a link out of the folder, or is not a path at all.
    """
    check_name(name, folder)
    path = Path(folder, name)
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise OutsideFolder(f"{folder}: {name!r} is a link that leads out of this folder")
    return path


def check_name(name: str, folder: str | os.PathLike) -> None:
    """Raise OutsideFolder unless a name is a relative path without `..`; this does not look at the disk."""
    is_text = isinstance(name, str) and name.strip() not in ("", ".") and "\0" not in name
    if not is_text or PurePath(name).is_absolute() or PurePath(name).drive or ".." in PurePath(name).parts:
        raise OutsideFolder(f"{folder}: a file there names {str(name)[:80]!r}, which is not inside this folder")


def write_atomically(path: str | os.PathLike, data: bytes | str, *, durable: bool = True) -> None:
    """Write a file in one move, so that a kill, a full disk or a power failure leaves the old file or the new one.

    Parameters
    ----------
    path : path
        The file; its folder must exist.
    data : bytes or str
        A str is written as UTF-8.
    durable : bool
        Wait until the file is on the disk. False is faster, but after a power failure the file may be empty.

    Raises
    ------
    CannotWrite
        If the file cannot be written; the message gives the path and the system's reason.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)
        if durable:
            _sync(temporary, os.O_RDWR)
        temporary.replace(path)
        if durable:
            with contextlib.suppress(OSError):  # Windows cannot open a folder
                _sync(path.parent, os.O_RDONLY)
    except OSError as e:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise CannotWrite(f"{path}: cannot be written ({e.strerror})") from e


def _sync(path, mode):
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, mode)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Hold a folder for this process alone; the system frees it when the process ends, however it ends.

    Windows and some network drives cannot lock a folder; there it is not held.

    Raises
    ------
    CannotWrite
        If another process holds the folder.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as e:
                raise CannotWrite(f"{folder}: in use by another process; wait until that has ended") from e
        yield
    finally:
        os.close(descriptor)


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
