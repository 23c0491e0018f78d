"""The command line: parse, call one function, say one line."""

__all__: list[str] = []
