import csv
from io import StringIO

import numpy as np
import pytest

from neuronat.errors import LabelError
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.volumes import StructureVolume, is_coarse, structure_volumes, volumes_table
from neuronat.space.volume import LabelMap

FIVE = LabelScheme("five", (0, 7, 3, 900, 4), ("none", "a", "b", "c", "d"), ("#000000",) * 5, (0, 3, 7, 900, 4))
SHEARED = np.array([[0, -2.0, 0.5, 9], [0.5, 0, 0, 8], [0, 0, 3.0, 7], [0, 0, 0, 1]])  # |det| = 3


def drawn():
    ids = np.zeros((5, 6, 7), np.int16)
    ids[1:3, 1:3, 1:3] = 7
    ids[4, 5, 6] = 3  # touches the border by a corner voxel
    ids[3, 3, 3:7] = 900  # touches it at one end only
    return ids


def test_volumes_are_counted_by_hand():
    rows = structure_volumes(LabelMap(drawn(), SHEARED, FIVE))
    assert [(row.index, row.name) for row in rows] == [(7, "a"), (3, "b"), (900, "c"), (4, "d")]
    assert [row.n_voxels for row in rows] == [8, 1, 4, None]
    np.testing.assert_allclose([row.volume_mm3 for row in rows[:3]], [24.0, 3.0, 12.0], rtol=1e-12)


def test_what_is_not_there_is_not_zero_and_the_reason_is_given():
    rows = structure_volumes(LabelMap(drawn(), SHEARED, FIVE))
    assert rows[3].volume_mm3 is None
    assert [row.reason for row in rows] == ["", "truncated", "truncated", "not found"]


def test_what_no_training_showed_is_told_from_what_was_not_found():
    rows = structure_volumes(LabelMap(drawn(), SHEARED, FIVE), untaught=(4, 900))
    assert [row.reason for row in rows] == ["", "truncated", "truncated", "not taught"]
    assert (rows[3].n_voxels, rows[3].volume_mm3) == (None, None)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("end", [0, -1])
def test_each_of_the_six_faces_truncates(axis, end):
    ids = np.zeros((5, 6, 7), np.uint8)
    ids[2, 2, 2] = 3
    np.moveaxis(ids, axis, 0)[end, 2, 3] = 7
    rows = structure_volumes(LabelMap(ids, np.eye(4), FIVE))
    assert [row.reason for row in rows[:2]] == ["truncated", ""]


def test_a_flat_map_is_border_throughout():
    ids = np.full((5, 1, 7), 7, np.int16)
    row = structure_volumes(LabelMap(ids, np.eye(4), FIVE))[0]
    assert (row.n_voxels, row.reason) == (35, "truncated")


def test_the_order_of_the_axes_changes_no_volume():
    ids, swap = drawn(), np.eye(4)[[2, 0, 1, 3]]
    there = structure_volumes(LabelMap(ids, SHEARED, FIVE))
    turned = structure_volumes(LabelMap(ids.transpose(1, 2, 0)[::-1], SHEARED @ swap, FIVE))
    assert [row.n_voxels for row in turned] == [row.n_voxels for row in there]
    assert [row.reason for row in turned] == [row.reason for row in there]
    np.testing.assert_allclose(turned[0].volume_mm3, 24.0, rtol=1e-12)


def test_of_coarse_voxels_the_volume_is_counted_on_the_fine_grid():
    fine = np.zeros((4, 4, 6), np.int16)
    fine[1:3, 1:3, :4] = 7  # 16 voxels of 1 mm3: one coarse voxel full, the next one a third full
    fine[1:3, 1:3, 4] = 3
    coarse = np.zeros((4, 4, 2), np.int16)
    coarse[1:3, 1:3] = 7
    thick = np.diag([1.0, 1.0, 3.0, 1.0])
    rows = structure_volumes(LabelMap(coarse, thick, FIVE), LabelMap(fine, np.eye(4), FIVE))
    assert (rows[0].n_voxels, rows[0].volume_mm3) == (8, 16.0)
    assert (rows[1].n_voxels, rows[1].volume_mm3, rows[1].reason) == (0, 4.0, "")  # too small for a coarse voxel
    assert (rows[2].n_voxels, rows[2].volume_mm3, rows[2].reason) == (None, None, "not found")
    plain = structure_volumes(LabelMap(coarse, thick, FIVE))
    np.testing.assert_allclose(plain[0].volume_mm3, 24.0, rtol=1e-12)


def test_coarse_is_any_side_above_one_and_a_half_mm():
    assert not is_coarse(np.diag([1.5, -0.9, 1.0, 1.0]))
    assert is_coarse(np.diag([1.0, -1.6, 1.0, 1.0]))


def test_the_table_says_na_and_keeps_small_volumes():
    rows = (StructureVolume(7, "a", 8, 8e-6), StructureVolume(4, "d e", None, None, "not found"))
    lines = list(csv.reader(StringIO(volumes_table(rows, {7: "review: small"}, {7: 0.87654})), delimiter="\t"))
    assert lines == [
        ["index", "name", "n_voxels", "volume_mm3", "reason", "finding", "confidence"],
        ["7", "a", "8", "8e-06", "n/a", "review: small", "0.877"],
        ["4", "d e", "n/a", "n/a", "not found", "n/a", "n/a"],
    ]


def test_unknown_ids_are_named():
    with pytest.raises(LabelError, match=r"ids 5 \(6 voxels\)"):
        structure_volumes(LabelMap(np.full((1, 2, 3), 5, np.int16), np.eye(4), FIVE))
