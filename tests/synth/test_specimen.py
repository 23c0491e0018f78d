import numpy as np
import pytest

from neuronat.errors import GridError, UnusableInputError
from neuronat.labels import load_scheme
from neuronat.space.files import read_label_map, read_mask, read_volume
from neuronat.space.volume import LabelMap, Volume
from neuronat.synth.specimen import make_specimen, moved, write_specimen


def places_of(shape, shift):
    return np.indices(shape, np.float32) + np.array(shift, np.float32).reshape(3, 1, 1, 1)


def test_grey_values_go_on_beyond_the_mask_as_those_of_the_nearest_voxel_inside():
    values = np.zeros((2, 3, 6), np.float32)
    values[..., 2], values[..., 3], values[..., 4] = 5, 7, 9
    mask = values > 0
    tissue = np.zeros(values.shape, np.uint8)
    tissue[..., 2], tissue[..., 3], tissue[..., 4] = 1, 2, 3
    labels = LabelMap(np.zeros(values.shape, np.int32), np.eye(4), load_scheme("deepnat25"))
    made = make_specimen(Volume(values, np.diag([2.0, 1, 1, 1])), mask, labels, tissue)
    np.testing.assert_array_equal(made.volume.values[1, 2], [5, 5, 5, 7, 9, 9])
    assert made.levels == (5.0, 7.0, 9.0)


def test_a_missing_tissue_and_another_grid_are_named(specimen):
    nothing = np.zeros_like(specimen.tissue)
    with pytest.raises(UnusableInputError, match="fluid, grey or white matter is missing"):
        make_specimen(specimen.volume, specimen.mask, specimen.labels, nothing)
    with pytest.raises(GridError, match=r"mask \(39, 48, 56\).* must share one grid"):
        make_specimen(specimen.volume, specimen.mask[1:], specimen.labels, specimen.tissue)


def test_a_move_by_whole_voxels_moves_everything_and_changes_nothing(specimen):
    there = moved(specimen, places_of(specimen.mask.shape, (1, -2, 0)), specimen.volume.affine)
    near, far = (slice(0, -1), slice(2, None)), (slice(1, None), slice(0, -2))
    np.testing.assert_array_equal(there.labels.ids[near], specimen.labels.ids[far])
    np.testing.assert_array_equal(there.mask[near], specimen.mask[far])
    np.testing.assert_array_equal(there.tissue[near], specimen.tissue[far])
    np.testing.assert_allclose(there.volume.values[near], specimen.volume.values[far], atol=0.1)  # of 1000: splines


def test_half_a_voxel_favours_no_label(specimen):
    there = moved(specimen, places_of(specimen.mask.shape, (0.5, 0.5, 0.5)), specimen.volume.affine)
    labelled = [np.count_nonzero(one.labels.ids) for one in (specimen, there)]
    assert labelled[1] == pytest.approx(labelled[0], rel=0.01)  # ties that go to the background cost 2 %
    assert there.mask.sum() == pytest.approx(specimen.mask.sum(), rel=0.01)


def test_files_hold_a_stripped_scan_its_mask_and_the_truth(specimen, tmp_path):
    scan, mask, labels = write_specimen(specimen, tmp_path, "sub-01_acq-noisy")
    assert [path.name for path in (scan, mask, labels)] == [
        "sub-01_acq-noisy_desc-brain_T1w.nii.gz",
        "sub-01_acq-noisy_desc-brain_mask.nii.gz",
        "sub-01_acq-noisy_seg-deepnat25_dseg.nii.gz",
    ]
    written = read_volume(scan).volume
    np.testing.assert_array_equal(written.values > 0, specimen.mask)
    np.testing.assert_array_equal(written.affine, specimen.volume.affine)
    np.testing.assert_array_equal(read_mask(mask).values, specimen.mask)
    np.testing.assert_array_equal(read_label_map(labels, load_scheme("deepnat25")).ids, specimen.labels.ids)
