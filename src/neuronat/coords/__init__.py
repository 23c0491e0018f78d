"""Brain coordinates: spectral (eigenfunctions of the mask) and Cartesian."""
