"""Limit the memory of a process."""

import os
from pathlib import Path


def limit_memory(memory_mb: float) -> None:
    """Let the data of this process grow by at most `memory_mb` MiB.

    On Linux this covers the heap and private mappings. Elsewhere it may cover less; Windows has no such limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard_limit = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _data_bytes() + int(memory_mb * 2**20)
    if hard_limit != resource.RLIM_INFINITY:
        limit = min(limit, hard_limit)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard_limit))


def _data_bytes():
    """Return the bytes of this process that count against `RLIMIT_DATA`; 0 outside Linux."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    data_pages = int(statm.read_text().split()[5])
    return data_pages * os.sysconf("SC_PAGE_SIZE")
