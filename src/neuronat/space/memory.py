"""How much memory there is, and how much this process has taken."""

import ctypes
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "cgroup_folders",
    "free_memory_bytes",
    "held_memory_bytes",
    "keep_freed_memory",
    "peak_memory_bytes",
    "process_peak_bytes",
    "release_memory",
    "reset_peak_memory",
    "system_lines",
]

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
KEPT_BYTES = 2**29
"""How much may lie free at the end of the heap when memory is kept."""
USUAL_MAPPED_BYTES, USUAL_KEPT_BYTES, USUAL_MAPPED_ARRAYS = 2**25, 2**26, 2**16
"""As glibc ends by itself: the least size of arrays with memory of their own, what is kept, how many such arrays."""

VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def free_memory_bytes(root: Path = Path("/")) -> int:
    """Return how much memory this process may still take: what the machine, its container or its job has free.

    Parameters
    ----------
    root : Path
        Where `proc` and `sys` lie; another one in tests.

    Returns
    -------
    int
        Bytes: the least of what the machine has and what each control group above this process has left. Pages
        of files that the kernel can drop count as free. Where the system does not say what is free, as macOS does not,
        all memory counts.

    Notes
    -----
    Source: ours. Both versions of control groups; a job of Slurm is a group below the machine's own.
    """
    stated = [line for line in system_lines(root / "proc/meminfo") if line.startswith("MemAvailable:")]
    free = int(stated[0].split()[1]) * 1024 if stated else _installed_bytes()
    for controller, (most, used, droppable) in (("", VERSION_2), ("memory", VERSION_1)):
        for folder in cgroup_folders(controller, root):
            limit, taken = system_lines(folder / most), system_lines(folder / used)
            if limit and taken and limit[0].isdigit() and taken[0].isdigit():
                left = int(limit[0]) - int(taken[0]) + _stated(folder / "memory.stat", droppable)
                free = min(free, max(left, 0))
    return free


def _installed_bytes() -> int:
    """Return how much memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cgroup_folders(controller: str, root: Path = Path("/")) -> tuple[Path, ...]:
    """Return the folders of the control groups that hold this process, innermost first.

    Parameters
    ----------
    controller : str
        Empty for version 2, else a controller of version 1 such as `memory` or `cpu`.
    root : Path
        Where `proc` and `sys` lie.

    Returns
    -------
    tuple of Path
        They need not exist: a container often sees its own group as the outermost one.

    Notes
    -----
    Source: ours.
    """
    top = root / "sys/fs/cgroup" / controller
    inside = Path()
    for line in system_lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controller in controllers.split(","):
            inside = Path(path.strip("/"))
    return tuple(top / folder for folder in (inside, *inside.parents)) if inside.parts else (top,)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held since `reset_peak_memory`, or since it began."""
    unit = 1 if sys.platform == "darwin" else 1024
    return process_peak_bytes("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_memory_bytes() -> int:
    """Return how much memory this process holds now; 0 where the system does not say."""
    return _of_process("self", "VmRSS")


def process_peak_bytes(process: int | str) -> int:
    """Return the most memory that a process, by its number or `self`, has held; 0 where the system does not say."""
    return _of_process(process, "VmHWM")


def reset_peak_memory() -> None:
    """Let the peak be counted anew from now on, where the system can do it."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return


def release_memory() -> None:
    """Give memory that was freed back to the system, where its C library keeps it and can be told to.

    Notes
    -----
    Source: ours. glibc keeps what a network needed between its layers for later small pieces, while large arrays get
    memory of their own: 0.7 GB at the peak of a scan.
    """
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def keep_freed_memory(*, is_kept: bool) -> None:
    """Say whether large arrays that are freed stay with this process, for the next ones, where that can be said.

    Notes
    -----
    Source: ours. By default glibc gives each of them back at once, and the system has to clear every page of the next
    one: a sixth of the processor time of a scan, for a seventh less memory at its peak (docs/results.md).
    """
    tell = _of_c_library("mallopt")
    if tell is not None:
        tell(M_MMAP_MAX, 0 if is_kept else USUAL_MAPPED_ARRAYS)
        tell(M_MMAP_THRESHOLD, USUAL_MAPPED_BYTES)
        tell(M_TRIM_THRESHOLD, KEPT_BYTES if is_kept else USUAL_KEPT_BYTES)


def system_lines(path: Path) -> list[str]:
    """Return the lines of a small system file; none where there is no such file."""
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return []


def _of_c_library(name: str) -> Callable[..., int] | None:
    """Return a function of glibc by its name; None where there is no glibc, or another one."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None


def _of_process(process: int | str, name: str) -> int:
    """Return one number of bytes that the system keeps of a process, 0 where it is not there."""
    lines = system_lines(Path(f"/proc/{process}/status"))
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _stated(path: Path, name: str) -> int:
    """Return one number of a file of names and numbers, 0 where it is not there."""
    pairs = [line.split() for line in system_lines(path)]
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == name and pair[1].isdigit()), 0)
