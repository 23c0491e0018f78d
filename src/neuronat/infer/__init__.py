"""From a network to a whole volume: patch by patch, densely, and the vote."""

__all__: list[str] = []
