"""Brain coordinates: spectral (eigenfunctions of the mask) and Cartesian."""

__all__: list[str] = []
