import numpy as np
import pytest
import torch

from neuronat.errors import ShapeError
from neuronat.synth.ageing import ageing_fields
from neuronat.synth.fields import interpolate


def test_a_ventricle_grows_when_the_field_is_followed():
    ventricle = np.zeros((40, 44, 48), bool)
    ventricle[16:24, 18:26, 20:28] = True
    fields = ageing_fields(ventricle, np.zeros_like(ventricle))
    assert fields.shape == (6, 20, 22, 24)
    assert fields.dtype == np.float16
    axes = [torch.arange(extent, dtype=torch.float32) for extent in ventricle.shape]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    moved = places + 3 * interpolate(torch.from_numpy(fields[:3]), places / 2)
    grown = interpolate(torch.from_numpy(ventricle[None].astype(np.float32)), moved)[0].numpy() > 0.5
    assert 1.6 * ventricle.sum() < grown.sum() < 8 * ventricle.sum()
    assert grown[ventricle].all()


def test_nothing_moves_where_there_is_no_fluid():
    nothing = np.zeros((10, 12, 14), bool)
    np.testing.assert_array_equal(ageing_fields(nothing, nothing), 0)


def test_masks_of_two_grids_are_refused():
    with pytest.raises(ShapeError, match=r"one 3D grid; got \(4, 5, 6\) and \(4, 5, 7\)"):
        ageing_fields(np.zeros((4, 5, 6), bool), np.zeros((4, 5, 7), bool))
