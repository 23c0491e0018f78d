"""A head with a brain in it, for pictures."""

import numpy as np
import pytest

from neuronat.labels.scheme import load_scheme
from neuronat.space.volume import LabelMap, Volume

# stored as P, L, S: 2 mm from back to front, 1 mm right to left, 1.5 mm up
AFFINE = np.array([[0, -1.0, 0, 40], [-2.0, 0, 0, 50], [0, 0, 1.5, -30], [0, 0, 0, 1]])
SHAPE = (44, 60, 50)


@pytest.fixture
def head(rng) -> tuple[Volume, np.ndarray, LabelMap]:
    """Noise everywhere, a face included; a box of brain in it with a left and a right thalamus."""
    values = rng.uniform(100, 200, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[12:31, 20:45, 15:34] = True
    ids = np.zeros(SHAPE, np.int16)
    ids[18:26, 22:30, 20:30] = 49
    ids[18:26, 34:42, 20:30] = 10
    return Volume(values, AFFINE), mask, LabelMap(ids, AFFINE, load_scheme("deepnat25"))
