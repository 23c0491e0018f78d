import numpy as np

from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.report.panels import crop_plane, hide_far_from_labels, label_edges, place_panels, shown_structures
from neuronat.report.planes import Plane

LETTERS = ("R", "L", "I", "S")


def plane(values, ids=None, spacing_mm=(1.0, 2.0)):
    return Plane("axial", np.array(values, np.float32), ids, spacing_mm, LETTERS, "z = 0 mm")


def test_what_is_far_from_labels_is_hidden_in_mm():
    ids = np.zeros((60, 40), np.int16)
    ids[20:25, 20] = 7
    shown = hide_far_from_labels(plane(np.ones((60, 40)), ids), 6.0).values
    # six voxels of 1 mm to the side, three of 2 mm up and down
    assert np.flatnonzero(shown[:, 20]).tolist() == list(range(14, 31))
    assert np.flatnonzero(shown[22]).tolist() == list(range(17, 24))


def test_a_fold_between_labels_is_shown():
    ids = np.zeros((80, 40), np.int16)
    ids[20:25, 10:30] = 7
    ids[41:46, 10:30] = 7  # 16 mm between them, 5 mm of each side near
    shown = hide_far_from_labels(plane(np.ones((80, 40)), ids, (1.0, 1.0)), 5.0).values
    assert shown[20:46, 20].all()


def test_planes_without_labels():
    bare = plane(np.ones((4, 5)))
    assert hide_far_from_labels(bare, 5.0) is bare
    np.testing.assert_array_equal(hide_far_from_labels(plane(np.ones((4, 5)), np.zeros((4, 5), int)), 5.0).values, 0)


def test_a_plane_is_cropped_with_a_margin_even_beyond_its_border():
    values, ids = np.zeros((30, 20)), np.zeros((30, 20), np.int16)
    values[2:5, 8:10] = 1
    ids[4, 11] = 7
    cropped = crop_plane(plane(values, ids), 4.0)
    # 2 - 4 is beyond the border; 8 - 2 and 12 + 2 are inside (2 mm a voxel)
    assert cropped.values.shape == cropped.ids.shape == (4 + 3 + 4, 2 + 4 + 2)
    np.testing.assert_array_equal(np.argwhere(cropped.ids == 7), [[6, 5]])
    np.testing.assert_array_equal(np.flatnonzero(cropped.values[:, 2]), [4, 5, 6])
    empty = plane(np.zeros((3, 4)))
    assert crop_plane(empty) is empty


def test_edges_run_along_pixels_and_belong_to_the_smaller_label():
    ids = np.array([[0, 0, 0, 0], [0, 7, 7, 3], [0, 7, 7, 0]], np.int16)
    edges, owners = label_edges(plane(np.ones((3, 4)), ids))
    found = {(*map(tuple, line.tolist()),): owner for line, owner in zip(edges, owners.tolist(), strict=True)}
    # pixel (a, b) covers a..a+1 across and 2 b..2 b+2 mm up
    assert found == {
        ((1.0, 2.0), (1.0, 4.0)): 7,
        ((1.0, 4.0), (1.0, 6.0)): 7,
        ((1.0, 6.0), (1.0, 8.0)): 3,
        ((2.0, 6.0), (2.0, 8.0)): 3,
        ((3.0, 2.0), (3.0, 4.0)): 7,
        ((3.0, 4.0), (3.0, 6.0)): 7,
        ((1.0, 2.0), (2.0, 2.0)): 7,
        ((2.0, 2.0), (3.0, 2.0)): 7,
        ((1.0, 6.0), (2.0, 6.0)): 3,
        ((2.0, 6.0), (3.0, 6.0)): 7,
        ((1.0, 8.0), (2.0, 8.0)): 3,
    }
    assert label_edges(plane(np.ones((3, 4))))[0].shape == (0, 2, 2)


def test_panels_have_one_scale_and_do_not_overlap():
    planes = [plane(np.ones((30, 20))), plane(np.ones((50, 10)))]  # 30 x 40 mm and 50 x 20 mm
    rows, width_mm, height_mm = place_panels(planes, below_mm=10.0)
    assert (width_mm, height_mm) == (84.0, 10.0 + 2 * 40.0 + 8.0)
    boxes_mm = np.array([*rows[0], *rows[1]]) * [width_mm, height_mm, width_mm, height_mm]
    np.testing.assert_allclose(boxes_mm, [[0, 10, 30, 40], [34, 20, 50, 20], [0, 58, 30, 40], [34, 68, 50, 20]])


def test_the_legend_names_what_is_seen_once_per_colour():
    scheme = load_scheme("deepnat25")
    ids = np.array([[0, 10, 49], [53, 14, 0]], np.int16)
    assert shown_structures([plane(np.ones((2, 3)), ids), plane(np.ones((2, 3)))], scheme) == (
        ("Thalamus", "#00760e"),
        ("3rd ventricle", "#ccb68e"),
        ("Hippocampus", "#dcd814"),
    )


def test_sides_of_two_colours_are_named_apart_and_too_many_not_at_all():
    apart = LabelScheme("apart", (0, 1, 2), ("none", "Left-X", "Right-X"), ("#000000", "#ff0000", "#00ff00"), (0, 2, 1))
    ids = np.array([[1, 2]], np.int16)
    assert shown_structures([plane(np.ones((1, 2)), ids)], apart) == (("Left-X", "#ff0000"), ("Right-X", "#00ff00"))
    fine = load_scheme("neuromorphometrics")
    assert shown_structures([plane(np.ones((1, fine.n_classes)), np.array([fine.ids]))], fine) == ()
