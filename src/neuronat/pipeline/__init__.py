"""The whole sentence: scan in, label maps and tables out."""

__all__: list[str] = []
