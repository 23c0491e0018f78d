"""Which exit code an exception stands for, ours or not."""

import errno

from neuronat.errors import MemoryShortError, NeuronatError, OutputError

__all__ = ["BUG", "code_of", "is_memory_error"]

BUG = 70
CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM})
MEMORY_PHRASES = ("not enough memory", "can't allocate memory", "out of memory")


def code_of(error: BaseException) -> int:
    """Return the exit code of an exception of ours, of the system's, or of a bug (70).

    Notes
    -----
    Source: ours; the codes are those of docs/cli.md.

    Examples
    --------
    >>> code_of(OutputError("no space")), code_of(KeyError("bug"))
    (73, 70)
    """
    if isinstance(error, NeuronatError):
        return error.exit_code
    if is_memory_error(error):
        return MemoryShortError.exit_code
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return OutputError.exit_code
    return BUG


def is_memory_error(error: BaseException) -> bool:
    """Tell whether memory ran out: Python's own exception says so, or torch's RuntimeError."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in message for phrase in MEMORY_PHRASES)
    )
