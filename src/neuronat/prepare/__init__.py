"""From a scan to what the networks read: working grid, bias correction, intensities, brain mask."""

__all__: list[str] = []
