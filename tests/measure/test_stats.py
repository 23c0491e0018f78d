import re

import numpy as np
import pytest

from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.stats import aseg_stats
from neuronat.measure.volumes import structure_volumes
from neuronat.space.volume import LabelMap, Volume

# a voxel has 1.5 mm3
AFFINE = np.array([[0, 0, -1.0, 5], [1.5, 0, 0, -7], [0, 1.0, 0, 4], [0, 0, 0, 1]])


@pytest.fixture
def small() -> tuple[LabelMap, Volume, np.ndarray]:
    ids = np.zeros((3, 4, 5), np.int32)
    ids[0, 0, :3] = 3
    ids[0, 1, :2] = 42
    ids[1, 1, 1:5] = 4
    ids[2, 3, 4] = 17
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    return LabelMap(ids, AFFINE, load_scheme("deepnat25")), Volume(values, AFFINE), ids < 50


def read_stats(text: str) -> tuple[dict[str, float], list[dict[str, str]]]:
    """Read a stats file as FreeSurfer's own tools do: by `# Measure` and `# ColHeaders`."""
    measures, rows, columns = {}, [], []
    for line in text.splitlines():
        if line.startswith("# Measure "):
            _, name, _, value, unit = line.removeprefix("# Measure ").split(", ")
            assert unit == "mm^3"
            measures[name] = float(value)
        elif line.startswith("# ColHeaders"):
            columns = line.split()[2:]
        elif not line.startswith("#"):
            rows.append(dict(zip(columns, line.split(), strict=True)))
    return measures, rows


def test_rows_hold_ids_voxels_volumes_and_grey_values(small):
    labels, image, mask = small
    text = aseg_stats(structure_volumes(labels), labels, image, mask, "sub-01_dseg.nii.gz")
    measures, rows = read_stats(text)
    assert [row["SegId"] for row in rows] == ["3", "4", "17", "42"]
    assert rows[0] == {
        "Index": "1", "SegId": "3", "NVoxels": "3", "Volume_mm3": "4.5", "StructName": "Left-Cerebral-Cortex",
        "normMean": "1.0000", "normStdDev": "1.0000", "normMin": "0.0000", "normMax": "2.0000", "normRange": "2.0000",
    }  # fmt: skip
    assert (rows[2]["normMean"], rows[2]["normStdDev"]) == ("59.0000", "0.0000")
    # 5 and 6 are two values: half a unit squared, twice, over one
    assert [rows[3][column] for column in ("normStdDev", "normMin", "normMax", "normRange")] == [
        *("0.7071", "5.0000", "6.0000", "1.0000")
    ]
    assert measures == {
        "BrainSegVol": 15.0,
        "BrainSegVolNotVent": 9.0,
        "lhCortexVol": 4.5,
        "rhCortexVol": 3.0,
        "CortexVol": 7.5,
        "MaskVol": 90.0,
    }
    assert "# NRows 4\n# NTableCols 10\n" in text
    assert "# VoxelVolume_mm3 1.5\n" in text
    assert text.count("# TableCol") == 30
    assert "# TableCol  1 ColHeader Index\n" in text
    assert "# TableCol 10 ColHeader normRange\n" in text


def test_the_columns_stand_where_fixed_width_readers_look(small):
    labels, image, mask = small
    text = aseg_stats(structure_volumes(labels), labels, image, mask, "x")
    line = next(line for line in text.splitlines() if "Hippocampus" in line)
    assert line[:30] == "  3  17         1        1.5  "
    assert line[30:61] == "Left-Hippocampus".ljust(31)
    assert len(line) == 61 + 5 * 11 - 1


def test_nobody_is_named(small):
    labels, image, mask = small
    text = aseg_stats(structure_volumes(labels), labels, image, mask, "x")
    assert not re.search(r"hostname|user|cmdline|sysname|/", text)


def test_a_fine_scheme_keeps_its_own_ids(small):
    labels, image, mask = small
    fine = load_scheme("neuromorphometrics")
    ids = np.where(labels.ids == 3, 60, np.where(labels.ids == 42, 100, 0))
    label_map = LabelMap(ids.astype(np.int32), AFFINE, fine)
    measures, rows = read_stats(aseg_stats(structure_volumes(label_map), label_map, image, mask, "x"))
    assert [(row["SegId"], row["StructName"][:5]) for row in rows] == [("60", "Left-"), ("100", "Right")]
    # 100 is a part of the right cortex
    assert measures == {"BrainSegVol": 7.5, "BrainSegVolNotVent": 7.5, "rhCortexVol": 3.0, "MaskVol": 90.0}


def test_white_matter_and_ventricles_of_both_sides_are_summed_up(small):
    _, image, mask = small
    scheme = load_scheme("freesurfer")
    ids = np.zeros((3, 4, 5), np.int32)
    ids.reshape(-1)[:17] = [2, 41, 41, 4, 5, 5, 14, 14, 14, 15, 15, 15, 15, 43, 44, 44, 17]
    labels = LabelMap(ids, AFFINE, scheme)
    measures, _ = read_stats(aseg_stats(structure_volumes(labels), labels, image, mask, "x"))
    assert measures == {
        "BrainSegVol": 25.5,
        "BrainSegVolNotVent": 6.0,  # 17 voxels less 13 of ventricles
        "lhCerebralWhiteMatterVol": 1.5,
        "rhCerebralWhiteMatterVol": 3.0,
        "CerebralWhiteMatterVol": 4.5,
        "MaskVol": 90.0,
    }


def test_a_scheme_that_is_mapped_one_to_one_bears_freesurfers_ids_and_another_its_own(small):
    _, image, mask = small
    ids = np.zeros((3, 4, 5), np.int32)
    ids[0, 0] = [1, 1, 2, 2, 2]
    expected = {(10, 49): ["10", "49"], (10, 10): ["1", "2"], (10, 0): ["1", "2"]}
    for targets, shown in expected.items():
        mapping = {"freesurfer": {0: 0, 1: targets[0], 2: targets[1]}}
        own = LabelScheme("own", (0, 1, 2), ("none", "A", "B"), ("#000000",) * 3, (0, 1, 2), mapping)
        label_map = LabelMap(ids, AFFINE, own)
        _, rows = read_stats(aseg_stats(structure_volumes(label_map), label_map, image, mask, "x"))
        assert [row["SegId"] for row in rows] == shown


@pytest.mark.parametrize(
    ("protocol", "ids", "n_brain", "n_not_fluid"),
    [
        # 7 voxels of putamen (12), 1 of brain stem and 2 of chiasm, and 1 of each fluid that FreeSurfer takes off
        ("freesurfer", [12] * 7 + [16, 85, 85] + [4, 5, 14, 15, 24, 31, 43, 44, 63, 72], 17, 7),
        # left putamen; 5th ventricle, CSF, both inferior lateral ventricles; chiasm and brain stem: the 25
        # structures know putamen and brain stem, the others are told by their names
        ("neuromorphometrics", [58, 58, 58, 58, 15, 46, 49, 50, 69, 35], 8, 4),
    ],
)
def test_brain_stem_and_chiasm_are_no_part_of_the_brains_volume_and_plexus_and_csf_are_ventricles(
    small, protocol, ids, n_brain, n_not_fluid
):
    _, image, mask = small
    labels = np.zeros((3, 4, 5), np.int32)
    labels.reshape(-1)[: len(ids)] = ids
    label_map = LabelMap(labels, AFFINE, load_scheme(protocol))
    measures, _ = read_stats(aseg_stats(structure_volumes(label_map), label_map, image, mask, "x"))
    assert (measures["BrainSegVol"], measures["BrainSegVolNotVent"]) == (n_brain * 1.5, n_not_fluid * 1.5)


def test_a_scheme_without_freesurfers_ids_has_one_sum(small):
    _, image, mask = small
    ids = np.zeros((3, 4, 5), np.int32)
    ids[0, 0, :4] = [1, 2, 2, 3]
    tissue = LabelMap(ids, AFFINE, load_scheme("tissue"))
    measures, _ = read_stats(aseg_stats(structure_volumes(tissue), tissue, image, mask, "x"))
    assert measures == {"BrainSegVol": 6.0, "MaskVol": 90.0}
