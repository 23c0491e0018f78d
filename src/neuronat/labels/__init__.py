"""Label schemes: which ids exist, what they are called, how schemes translate into each other."""

from neuronat.labels.scheme import LabelScheme, load_scheme, read_scheme, scheme_names, write_scheme

__all__ = ["LabelScheme", "load_scheme", "read_scheme", "scheme_names", "write_scheme"]
