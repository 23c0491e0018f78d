"""neuronat: T1-weighted MRI scans of the head into labelled anatomy.

The names below are the public ones; each module is imported when one of its names is first used, so that
`import neuronat` is instant and torch loads late.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neuronat.errors import (
    BusyError,
    ConfigError,
    GridError,
    LabelError,
    MemoryShortError,
    MissingInputError,
    ModelError,
    NeuronatError,
    OutputError,
    ShapeError,
    UnavailableError,
    UnusableInputError,
    UsageError,
)

if TYPE_CHECKING:
    from neuronat.labels.scheme import LabelScheme, load_scheme
    from neuronat.nets.store import Model, load_model
    from neuronat.pipeline.public import evaluate, load, load_label_map, save, segment
    from neuronat.pipeline.result import Result
    from neuronat.pipeline.settings import SegmentConfig
    from neuronat.space.volume import LabelMap, Probabilities, Volume

__version__ = "0.1.0"

__all__ = [
    "BusyError",
    "ConfigError",
    "GridError",
    "LabelError",
    "LabelMap",
    "LabelScheme",
    "MemoryShortError",
    "MissingInputError",
    "Model",
    "ModelError",
    "NeuronatError",
    "OutputError",
    "Probabilities",
    "Result",
    "SegmentConfig",
    "ShapeError",
    "UnavailableError",
    "UnusableInputError",
    "UsageError",
    "Volume",
    "__version__",
    "evaluate",
    "load",
    "load_label_map",
    "load_model",
    "load_scheme",
    "save",
    "segment",
]

LATE_NAMES = {
    "LabelMap": "neuronat.space.volume",
    "LabelScheme": "neuronat.labels.scheme",
    "Model": "neuronat.nets.store",
    "Probabilities": "neuronat.space.volume",
    "Result": "neuronat.pipeline.result",
    "SegmentConfig": "neuronat.pipeline.settings",
    "Volume": "neuronat.space.volume",
    "evaluate": "neuronat.pipeline.public",
    "load": "neuronat.pipeline.public",
    "load_label_map": "neuronat.pipeline.public",
    "load_model": "neuronat.nets.store",
    "load_scheme": "neuronat.labels.scheme",
    "save": "neuronat.pipeline.public",
    "segment": "neuronat.pipeline.public",
}


def __getattr__(name: str) -> Any:
    """Import the module of a public name when it is first used."""
    if name not in LATE_NAMES:
        raise AttributeError(f"module 'neuronat' has no attribute {name!r}")
    return getattr(import_module(LATE_NAMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(__all__)
