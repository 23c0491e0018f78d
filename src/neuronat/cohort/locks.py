"""Locks: one run at a time works on a scan, and what a dead run locked is free again.

A lock is a file that one process alone can make, and that says who holds it. On one machine the system knows whether
that process still lives. On others the holder touches its lock every few seconds, and who waits looks whether it
changes: two times of one file are compared, never the clocks of two machines.
"""

import json
import os
import secrets
import socket
import time
from pathlib import Path
from typing import Any

from neuronat.record import temporary_name
from neuronat.space.memory import system_lines

__all__ = ["BEAT_S", "beat", "holder_name", "is_held", "lock_path", "release", "stem_of_lock", "take_lock"]

BEAT_S, EXPIRY_S, PAUSE_S = 5.0, 90.0, 0.01
PREFIX, SUFFIX, REMOVAL = ".neuronat-", ".lock", ".removal"


def lock_path(folder: Path, stem: str) -> Path:
    """Return where the lock of a scan, or of another piece of work, lies."""
    return folder / f"{PREFIX}{stem}{SUFFIX}"


def stem_of_lock(name: str) -> str:
    """Return what a lock of this name locks; nothing if it is no lock."""
    is_lock = name.startswith(PREFIX) and name.endswith(SUFFIX)
    return name[len(PREFIX) : -len(SUFFIX)] if is_lock else ""


def take_lock(path: Path, run: str, *, expiry_s: float = EXPIRY_S) -> bool:
    """Take a lock, that of a dead run too.

    Parameters
    ----------
    path : Path
        The lock, in a folder that exists.
    run : str
        Name of this run; a lock of the same run is ours, its worker is gone.
    expiry_s : float
        For so long a lock of another machine must not change before its holder counts as dead.

    Returns
    -------
    bool
        Whether the lock is ours now; False if a live run holds it.

    Notes
    -----
    Source: ours.
    """
    while not _make(path, run):
        changed, content = _changed_at(path), _read(path)
        if changed is None:  # just removed
            continue
        if content.get("run") != run and is_held(path, expiry_s=expiry_s):
            return False
        _discard(path, (changed, content), run)
    return True


def is_held(path: Path, *, expiry_s: float = 0.0) -> bool:
    """Tell whether a live process holds a lock; one of another machine is watched for `expiry_s`.

    Notes
    -----
    Source: ours. With `expiry_s` 0 a lock of another machine counts as held.
    """
    seen, deadline_s = _changed_at(path), time.monotonic() + expiry_s
    while True:
        content = _read(path)
        if content.get("place") == _place():
            return _start_of(content.get("pid")) == content.get("started") is not None
        now = _changed_at(path)
        if now != seen:
            return now is not None
        if seen is None or time.monotonic() >= deadline_s:
            return seen is not None and expiry_s == 0
        # who has just made a lock writes its content at once, within one tick of the file system's clock
        time.sleep(min(BEAT_S, max(expiry_s, 0.01)) / 2 if content else PAUSE_S)


def beat(path: Path) -> None:
    """Show that the holder lives."""
    try:
        os.utime(path)
    except OSError:
        return


def release(path: Path, run: str) -> None:
    """Give a lock back, if it is still ours."""
    if _read(path).get("run") == run:
        path.unlink(missing_ok=True)


def holder_name(path: Path) -> str:
    """Name the process that holds a lock, for a message."""
    content = _read(path)
    return f"process {content.get('pid', 'unknown')} on {content.get('host', 'another machine')}"


def _make(path: Path, run: str) -> bool:
    """Make the lock, unless it is there.

    Its name comes last, as a link to the written content: a holder killed in between leaves no lock without a name
    in it, whose death nobody could see.
    """
    pid = os.getpid()
    holder = {"run": run, "pid": pid, "started": _start_of(pid), "place": _place(), "host": socket.gethostname()}
    draft = path.with_name(temporary_name(path.name.removeprefix(PREFIX).rpartition(SUFFIX)[0]))
    try:
        _write_new(draft, holder)
        return _link(path, draft, holder)
    finally:
        draft.unlink(missing_ok=True)


def _link(path: Path, draft: Path, holder: dict[str, Any]) -> bool:
    """Give the written draft the name of the lock, unless that is there; without links, write the lock itself."""
    try:
        path.hardlink_to(draft)
    except (FileExistsError, FileNotFoundError):  # the latter: the holder of the lock has removed our draft
        return False
    except OSError:  # a file system without links
        try:
            _write_new(path, holder)
        except FileExistsError:
            return False
    return True


def _write_new(path: Path, holder: dict[str, Any]) -> None:
    """Write a file that must not exist."""
    with path.open("x", encoding="utf-8") as stream:
        stream.write(json.dumps(holder))


def _discard(path: Path, stale: tuple[int, dict[str, Any]], run: str) -> None:
    """Remove a lock whose holder is dead.

    Who removes it holds a lock on that, so that nobody removes the new lock of a faster run in the belief that it is
    still the old one.
    """
    guard = path.with_name(f"{path.name}{REMOVAL}")
    if not take_lock(guard, f"{run} {secrets.token_hex(6)}"):
        time.sleep(PAUSE_S)  # another run removes it
        return
    try:
        if (_changed_at(path), _read(path)) == stale:
            path.unlink(missing_ok=True)
    finally:
        guard.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """Read who holds a lock; nothing if it is gone, or just being made."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _changed_at(path: Path) -> int | None:
    """Return when a lock was last touched, in its file system's own time; None if it is gone."""
    try:
        with path.open("rb") as stream:  # opening asks a network file system for the truth
            return os.fstat(stream.fileno()).st_mtime_ns
    except OSError:
        return None


def _place() -> str:
    """Name this machine since its last start, and the container: where a process number means one process."""
    boot = system_lines(Path("/proc/sys/kernel/random/boot_id"))
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        space = ""
    return " ".join([socket.gethostname(), *boot, space])


def _start_of(pid: Any) -> str | None:
    """Return when a process began, in ticks of the kernel; None if there is no such process."""
    if not isinstance(pid, int):
        return None
    if not Path("/proc/self").exists():
        return "alive" if _answers(pid) else None
    stat = system_lines(Path(f"/proc/{pid}/stat"))
    fields = stat[0].rpartition(")")[2].split() if stat else []
    return fields[19] if len(fields) > 19 and fields[0] not in ("Z", "X") else None


def _answers(pid: int) -> bool:
    """Tell whether a process is there, where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
