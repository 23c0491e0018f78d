"""A phantom as a specimen: stored from right to left, voxels longer upwards, the world's origin off the middle."""

import numpy as np
import pytest

from neuronat.phantom import make_phantom
from neuronat.synth.specimen import Specimen, make_specimen

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1, 0, -13], [0, 0, 1.25, 5], [0, 0, 0, 1]])
FLUID_IDS, WHITE_IDS = (4, 43, 14, 15), (2, 41, 7, 46, 16)


@pytest.fixture(scope="session")
def specimen() -> Specimen:
    volume, labels, mask = make_phantom(noise=0.01, bias=0.0, affine=AFFINE)
    tissue = np.where(np.isin(labels.ids, FLUID_IDS), 1, np.where(np.isin(labels.ids, WHITE_IDS), 3, 2)) * mask
    return make_specimen(volume, mask, labels, tissue)
