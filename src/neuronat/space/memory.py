"""How much memory there is."""

import os
from pathlib import Path

__all__ = ["free_memory_bytes"]


def free_memory_bytes() -> int:
    """Return how much memory this process may still take: what the machine or its container has free."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    for line in _read_lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    for folder, most, used in (
        ("/sys/fs/cgroup", "memory.max", "memory.current"),
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        limit, taken = _read_lines(Path(folder, most)), _read_lines(Path(folder, used))
        if limit and taken and limit[0].isdigit() and taken[0].isdigit():
            free = min(free, max(int(limit[0]) - int(taken[0]), 0))
    return free


def _read_lines(path: Path) -> list[str]:
    """Return the lines of a small system file; none where there is no such file."""
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []
