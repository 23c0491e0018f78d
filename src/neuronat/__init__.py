"""neuronat: T1-weighted MRI scans of the head into labelled anatomy."""

__version__ = "0.1.0"

__all__ = ["__version__"]
