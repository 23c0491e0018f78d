"""The networks, and the folders that models live in."""

__all__: list[str] = []
