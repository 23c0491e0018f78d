"""Published tools in optional packages: asked for by name, and kept from leaving files behind."""

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from neuronat.errors import UnavailableError

__all__ = ["private_temporary_files", "require_package"]


def require_package(wanted: str, package: str, module: str) -> None:
    """Raise UnavailableError if what is `wanted` cannot run: the module of its package does not load.

    Notes
    -----
    Source: ours.
    """
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise UnavailableError(
            f"{wanted} needs the package {package} ({error}); install it with: pip install 'neuronat[tools]'"
        ) from error


@contextmanager
def private_temporary_files() -> Iterator[None]:
    """Let a library that leaves temporary files behind leave them in a folder that goes away."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix="neuronat-") as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before
