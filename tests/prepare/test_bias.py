import numpy as np
import pytest

from neuronat.prepare.bias import correct_bias
from neuronat.space.volume import Volume


def shaded_brain(phantom, strength):
    volume, labels, mask = phantom
    i = np.linspace(-1, 1, mask.shape[0], dtype=np.float32)[:, None, None]
    field = 1 + strength * i
    return Volume(volume.values * field, volume.affine), labels, mask


def spread_of_white_matter(volume, labels, mask):
    white = volume.values[np.isin(labels.ids, [2, 41]) & mask]
    return float(white.std() / white.mean())


def test_a_slope_across_the_brain_is_taken_out(phantom):
    shaded, labels, mask = shaded_brain(phantom, 0.3)
    before = spread_of_white_matter(shaded, labels, mask)
    after = spread_of_white_matter(correct_bias(shaded, mask), labels, mask)
    assert after < 0.6 * before


def test_outside_the_mask_is_zero_and_inside_positive(phantom):
    volume, _, mask = phantom
    corrected = correct_bias(volume, mask).values
    np.testing.assert_array_equal(corrected[~mask], 0)
    assert corrected[mask].min() > 0


@pytest.mark.parametrize(("factor", "constant"), [(25.0, 0.0), (1.0, -300.0)])
def test_a_constant_or_a_positive_factor_changes_nothing(phantom, factor, constant):
    volume, _, mask = phantom
    changed = Volume((volume.values * factor + constant).astype(np.float32), volume.affine)
    # float32 rounding of the scaled values, through the iterations of N4
    np.testing.assert_allclose(correct_bias(changed, mask).values, correct_bias(volume, mask).values, atol=5e-3)


def test_a_sheared_affine_is_no_obstacle(phantom):
    volume, _, mask = phantom
    sheared = volume.affine.copy()
    sheared[0, 1] = 0.2
    corrected = correct_bias(Volume(volume.values, sheared), mask)
    np.testing.assert_array_equal(corrected.values, correct_bias(volume, mask).values)
