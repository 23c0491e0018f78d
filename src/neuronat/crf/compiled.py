"""Compile loops with numba, and keep the compiled code between runs wherever there is a place for it."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

__all__ = ["compiled", "inlined"]

ARITHMETIC = {"contract", "reassoc", "nsz"}  # sums may be reordered; infinities and NaN keep their meaning

OPTIONS: dict[str, Any] = {"parallel": True, "fastmath": ARITHMETIC, "nogil": True}

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


def private_folder() -> Path | None:
    """Return a folder under the system's temporary one that only this user can write, or None if it is not ours."""
    folder = Path(tempfile.gettempdir()) / f"neuronat-numba-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not state.st_mode & 0o077
    return folder if is_ours else None


def inlined(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Return `function` compiled by numba, to be called in functions that are `compiled`."""
    return numba.njit(fastmath=ARITHMETIC)(function)


def compiled(function: Callable[Arguments, Value]) -> Callable[Arguments, Value]:
    """Return `function` compiled by numba at its first call, parallel over `numba.prange`.

    Parameters
    ----------
    function : callable
        Loops over numpy arrays. Everything it calls stands in its own module: numba's cache looks at no other file.

    Returns
    -------
    callable
        The same function. Its machine code is kept where numba finds a place: in the folder NUMBA_CACHE_DIR, beside
        the module, in the user's cache; else in a private temporary folder, else nowhere.

    Notes
    -----
    Source: ours. A read-only or homeless container has none of numba's places (decision 0005).
    """
    try:
        quick: Callable[Arguments, Value] = numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # numba found no folder that it may write
        settings: Any = numba.config
        settings.CACHE_DIR = str(private_folder() or "")
        quick = numba.njit(cache=bool(settings.CACHE_DIR), **OPTIONS)(function)
    return quick
