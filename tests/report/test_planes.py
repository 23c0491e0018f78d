import numpy as np
import pytest

from neuronat.errors import ConfigError, GridError
from neuronat.labels.scheme import LabelScheme
from neuronat.report.planes import cut_planes, labels_centre_mm
from neuronat.space.volume import LabelMap, Volume

FOUR = LabelScheme("four", (0, 7, 3, 900), ("none", "a", "b", "c"), ("#000000",) * 4, (0, 3, 7, 900))
# stored as A, S, L: i runs to the front by 2 mm, j up by 3 mm, k to the left by 0.5 mm
AFFINE = np.array([[0, 0, -0.5, 10], [2.0, 0, 0, -20], [0, 3.0, 0, 30], [0, 0, 0, 1]])


def drawn():
    """Grey values that say where they are: 100 * A + 10 * S + R, counted in voxels from the corner."""
    a, s, from_left = np.indices((5, 6, 7))
    return Volume((100 * a + 10 * s + (6 - from_left)).astype(np.float32), AFFINE)


def at(a, s, r):
    """World mm of the voxel that is a to the front, s up and r to the right of the corner."""
    return (10 - 0.5 * (6 - r), -20 + 2.0 * a, 30 + 3.0 * s)


def test_neurological_planes_have_the_right_on_the_right():
    coronal, axial, sagittal = cut_planes(drawn(), centre_mm=at(1, 4, 5), convention="neurological")
    r, a, s = np.arange(7), np.arange(5), np.arange(6)
    np.testing.assert_array_equal(coronal.values, 100 + 10 * s[None] + r[:, None])
    np.testing.assert_array_equal(axial.values, 100 * a[None] + 40 + r[:, None])
    np.testing.assert_array_equal(sagittal.values, 100 * a[:, None] + 10 * s[None] + 5)
    assert [plane.letters for plane in (coronal, axial, sagittal)] == [
        ("L", "R", "I", "S"),
        ("L", "R", "P", "A"),
        ("P", "A", "I", "S"),
    ]
    assert [plane.spacing_mm for plane in (coronal, axial, sagittal)] == [(0.5, 3.0), (0.5, 2.0), (2.0, 3.0)]
    assert [plane.name for plane in (coronal, axial, sagittal)] == ["coronal", "axial", "sagittal"]
    assert [plane.position for plane in (coronal, axial, sagittal)] == ["y = -18 mm", "z = 42 mm", "x = 10 mm"]


def test_radiological_planes_are_their_mirror_with_the_letters():
    coronal, axial, sagittal = cut_planes(drawn(), centre_mm=at(1, 4, 5))
    np.testing.assert_array_equal(coronal.values[:, 0], 100 + np.arange(7)[::-1])
    np.testing.assert_array_equal(axial.values[0], 100 * np.arange(5) + 40 + 6)
    np.testing.assert_array_equal(sagittal.values[:, 0], 100 * np.arange(5)[::-1] + 5)
    assert [plane.letters[:2] for plane in (coronal, axial, sagittal)] == [("R", "L"), ("R", "L"), ("A", "P")]


def test_labels_stay_on_their_voxels_and_give_the_centre():
    ids = np.zeros((5, 6, 7), np.int16)
    ids[1, 4, 1:4] = 7  # 1 to the front, 4 up; 3 to 5 to the right: the middle is 4
    label_map = LabelMap(ids, AFFINE, FOUR)
    np.testing.assert_allclose(labels_centre_mm(label_map), at(1, 4, 4))
    coronal, _, sagittal = cut_planes(drawn(), label_map)
    np.testing.assert_array_equal(np.argwhere(coronal.ids == 7), [[1, 4], [2, 4], [3, 4]])
    np.testing.assert_array_equal(coronal.values[1:4, 4], [145, 144, 143])
    np.testing.assert_array_equal(np.argwhere(sagittal.ids == 7), [[3, 4]])


def test_a_point_outside_goes_to_the_border_and_no_label_to_the_middle():
    assert cut_planes(drawn(), centre_mm=(-500.0, 500.0, 0.0))[0].values[0, 0] == 406
    assert cut_planes(drawn(), centre_mm=(-500.0, 500.0, 0.0))[2].values[0, 0] == 400
    empty = LabelMap(np.zeros((5, 6, 7), np.int16), AFFINE, FOUR)
    np.testing.assert_allclose(labels_centre_mm(empty), (8.5, -16.0, 37.5))


def test_an_unknown_convention_and_another_grid_are_refused():
    with pytest.raises(ConfigError, match=r"one of radiological, neurological; got 'mirror'"):
        cut_planes(drawn(), convention="mirror")
    with pytest.raises(GridError, match=r"volume lies on 5 x 6 x 7 voxels.*labels on 5 x 6 x 8"):
        cut_planes(drawn(), LabelMap(np.zeros((5, 6, 8), np.int16), AFFINE, FOUR))
