import numpy as np
import pytest
from scipy import ndimage

from neuronat.labels import load_scheme
from neuronat.phantom import make_phantom


def test_a_phantom_has_all_25_structures_inside_its_mask_and_zero_outside(phantom):
    volume, labels, mask = phantom
    assert volume.values.shape == labels.ids.shape == mask.shape == (40, 48, 56)
    np.testing.assert_array_equal(np.unique(labels.ids), sorted(load_scheme("deepnat25").ids))
    np.testing.assert_array_equal(labels.ids > 0, mask)
    np.testing.assert_array_equal(volume.values > 0, mask)
    np.testing.assert_array_equal(volume.affine, labels.affine)


def test_left_ids_are_on_the_left_and_mirror_the_right_ones(phantom):
    _, labels, _ = phantom
    scheme = labels.scheme
    x_mm = labels.affine[0, 0] * np.arange(40) + labels.affine[0, 3]
    for index, name in zip(scheme.ids, scheme.names, strict=True):
        if name.startswith("Left"):
            assert x_mm[np.argwhere(labels.ids == index)[:, 0]].max() < 0
    partner_of = dict(zip(scheme.ids, scheme.partners, strict=True))
    mirrored = np.vectorize(partner_of.get)(labels.ids[::-1])
    np.testing.assert_array_equal(mirrored, labels.ids)


def test_white_matter_is_brighter_than_grey_matter_and_grey_than_ventricles(phantom):
    volume, labels, _ = phantom
    means = [volume.values[labels.ids == index].mean() for index in (2, 3, 4)]
    assert means[0] > means[1] * 1.2
    assert means[1] > means[2] * 1.2


def test_equal_seeds_make_equal_phantoms_and_other_seeds_others():
    shape = (24, 26, 28)
    first, again, other = (make_phantom(shape, np.random.default_rng(seed))[0].values for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    with pytest.raises(AssertionError, match="not equal"):
        np.testing.assert_array_equal(first, other)


def test_without_noise_and_bias_the_inside_of_a_structure_is_flat():
    volume, labels, _ = make_phantom(noise=0, bias=0)
    for index, grey in ((2, 1000), (42, 650), (16, 920)):
        deep = ndimage.binary_erosion(labels.ids == index, iterations=2)
        assert deep.any()
        np.testing.assert_allclose(volume.values[deep], grey, rtol=0.01)


def test_the_affine_is_the_callers_or_one_millimetre_about_the_centre(phantom):
    np.testing.assert_allclose(phantom[0].affine @ [19.5, 23.5, 27.5, 1], [0, 0, 0, 1])
    affine = np.diag([1.5, 1.0, 2.0, 1.0])
    np.testing.assert_array_equal(make_phantom((20, 22, 24), affine=affine)[1].affine, affine)
