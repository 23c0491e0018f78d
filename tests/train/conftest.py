"""A packed scan of a drawn brain: two halves, a core on each side, three unequal extents."""

import numpy as np
import pytest

from neuronat.train.scans import OUTSIDE, PackedScan

SHAPE = (24, 30, 27)


@pytest.fixture
def scan():
    i, j, k = np.indices(SHAPE, np.float32)
    x, y, z = (i - 11.5) / 11, (j - 14.5) / 14, (k - 13) / 12
    mask = x**2 + y**2 + z**2 <= 1
    classes = np.where(x < 0, 1, 2)
    core = (abs(x) - 0.4) ** 2 + y**2 + z**2 < 0.08
    classes = np.where(core, np.where(x < 0, 3, 4), classes)
    shell = x**2 + y**2 + z**2 > 0.75
    classes = np.where(shell, 0, classes)
    intensities = np.where(mask, 100 - 12 * (classes > 2) - 40 * shell, 0)
    coordinates = np.stack([x, y, z, x * 2, y * 2, z * 2]) * mask
    return PackedScan(
        "sub-01",
        intensities.astype(np.uint8),
        np.where(mask, classes, OUTSIDE).astype(np.uint8),
        coordinates.astype(np.float16),
    )
