import numpy as np
import pytest

from neuronat.coords.laplace import assemble_laplacian, main_component, neighbour_pairs, require_mask
from neuronat.errors import ShapeError


def test_an_l_of_three_voxels_and_one_apart_is_the_matrix_drawn_by_hand():
    # the 2 x 3 slice     0 1 .     numbers the voxels in C order; 3 touches nobody by a face
    #                     2 . 3
    mask = np.zeros((1, 2, 3), bool)
    mask[0, 0, 0] = mask[0, 0, 1] = mask[0, 1, 0] = mask[0, 1, 2] = True
    expected = [[2, -1, -1, 0], [-1, 1, 0, 0], [-1, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(assemble_laplacian(mask).toarray(), expected)


def test_the_middle_of_a_cross_has_six_neighbours_and_edges_of_the_array_do_not_wrap():
    mask = np.zeros((3, 3, 3), bool)
    mask[1, 1, :] = mask[1, :, 1] = mask[:, 1, 1] = True
    np.testing.assert_array_equal(assemble_laplacian(mask).diagonal(), [1, 1, 1, 6, 1, 1, 1])


def test_pairs_name_the_lower_and_the_upper_voxel_and_the_axis_between_them():
    mask = np.ones((2, 1, 3), bool)  # numbers 0 1 2 above 3 4 5
    pairs = sorted(zip(*(part.tolist() for part in neighbour_pairs(mask)), strict=True))
    assert pairs == [(0, 1, 2), (0, 3, 0), (1, 2, 2), (1, 4, 0), (2, 5, 0), (3, 4, 2), (4, 5, 2)]


def test_the_main_component_is_the_largest_joined_by_faces_and_the_first_of_equals():
    mask = np.array([[[1, 1, 0, 1, 1], [0, 0, 1, 0, 0]]], bool)  # the lone voxel touches both by edges only
    np.testing.assert_array_equal(main_component(mask)[0].astype(int), [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])
    mask[0, 0, 2] = True
    np.testing.assert_array_equal(main_component(mask), mask)


def test_of_two_lone_voxels_the_first_is_kept():
    np.testing.assert_array_equal(main_component(np.array([[[True, False, True]]])), [[[True, False, False]]])


def test_the_main_component_of_nothing_is_nothing():
    assert not main_component(np.zeros((2, 3, 4), bool)).any()


@pytest.mark.parametrize("mask", [np.ones((2, 3), bool), np.ones((2, 3, 4), np.uint8)])
def test_a_mask_of_another_kind_is_named(mask):
    with pytest.raises(ShapeError, match=r"3D boolean array; got (bool|uint8) of shape"):
        require_mask(mask)


def test_an_empty_mask_is_refused():
    with pytest.raises(ShapeError, match=r"mask of shape \(2, 3, 4\) is empty"):
        assemble_laplacian(np.zeros((2, 3, 4), bool))
