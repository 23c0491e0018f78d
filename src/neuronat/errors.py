"""Everything neuronat raises on purpose, as one tree; each class carries its exit code.

A message has four parts: which thing (file or parameter), what it is, what was expected, what to do.
"""

__all__ = [
    "BusyError",
    "ConfigError",
    "GridError",
    "LabelError",
    "MemoryShortError",
    "MissingInputError",
    "ModelError",
    "NeuronatError",
    "OutputError",
    "ShapeError",
    "UnavailableError",
    "UnusableInputError",
    "UsageError",
]


class NeuronatError(Exception):
    """Root of the tree; never raised itself."""

    exit_code = 70


class UsageError(NeuronatError, ValueError):
    """The command line asks for something that cannot be, or would overwrite a different result."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration value is outside its range, or a key is unknown or missing."""


class UnusableInputError(NeuronatError, ValueError):
    """A file was found and read, and cannot be used."""

    exit_code = 65


class ShapeError(UnusableInputError):
    """Arrays that belong together do not fit each other."""


class GridError(UnusableInputError):
    """Two images that must share a grid do not, or an affine cannot be used."""


class LabelError(UnusableInputError):
    """A label map or a label table holds ids that its scheme does not know."""


class MissingInputError(NeuronatError, FileNotFoundError):
    """An input is not there."""

    exit_code = 66


class UnavailableError(NeuronatError, RuntimeError):
    """A device or an optional package is not available."""

    exit_code = 69


class ModelError(UnavailableError):
    """A model is missing, damaged, or does not fit."""


class MemoryShortError(NeuronatError, MemoryError):
    """The work does not fit into the memory at hand."""

    exit_code = 71


class OutputError(NeuronatError, OSError):
    """An output cannot be written."""

    exit_code = 73


class BusyError(NeuronatError, RuntimeError):
    """Another live run holds the lock; try again later."""

    exit_code = 75
