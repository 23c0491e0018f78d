from types import MappingProxyType

import numpy as np
import pytest

from neuronat.errors import ConfigError, GridError, LabelError, UnusableInputError
from neuronat.labels import LabelScheme, load_scheme
from neuronat.space.files import write_label_map, write_volume
from neuronat.space.volume import LabelMap, Volume
from neuronat.train.protocols import ProtocolScan
from neuronat.train.teaching import check_training_set, load_protocols, read_labels, require_taught

AFFINE = np.array([[-1.0, 0, 0, 9], [0, 0, 1.5, -4], [0, 1.2, 0, 7], [0, 0, 0, 1]])
SHAPE = (4, 5, 6)
ANY = LabelScheme("any", tuple(range(300))[:256], ("",) * 256, ("#000000",) * 256, tuple(range(256)))


@pytest.fixture
def ids():
    """Ids that neuromorphometrics knows: the brain stem, both putamina, a gyrus, the fourth ventricle."""
    drawn = np.zeros(SHAPE, np.int32)
    drawn[1, :, 0] = (35, 57, 58, 100, 11)
    return drawn


@pytest.fixture
def write_map(tmp_path):
    def write(name, drawn, affine=AFFINE):
        write_label_map(tmp_path / name, LabelMap(np.asarray(drawn, np.int32), affine, ANY))
        return tmp_path / name

    return write


@pytest.fixture
def scan(tmp_path, rng):
    write_volume(tmp_path / "sub-01_T1w.nii.gz", Volume(rng.random(SHAPE, np.float32), AFFINE))

    def with_maps(**maps):
        listed = {protocol: files if isinstance(files, tuple) else (files,) for protocol, files in maps.items()}
        return ProtocolScan("sub-01", tmp_path / "sub-01_T1w.nii.gz", MappingProxyType(listed))

    return with_maps


def test_a_scan_teaches_the_protocols_it_has_and_those_merged_from_them(scan, write_map, ids):
    protocols = load_protocols(
        ["hmrf", "tissue5", "subcortical15", "neuromorphometrics"],
        merged_from={"tissue5": "neuromorphometrics", "subcortical15": "neuromorphometrics"},
    )
    found = read_labels(scan(neuromorphometrics=write_map("n.nii.gz", ids)), protocols)
    assert list(found) == ["tissue5", "subcortical15", "neuromorphometrics"]
    assert found["tissue5"].ids[1, :, 0].tolist() == [3, 2, 2, 4, 1]
    assert found["subcortical15"].ids[1, :, 0].tolist() == [16, 51, 12, 0, 16]
    np.testing.assert_array_equal(found["neuromorphometrics"].ids, ids)
    assert found["tissue5"].scheme is load_scheme("tissue5")


def test_a_protocol_is_never_taken_from_another_unasked(scan, write_map, ids):
    protocols = load_protocols(["tissue", "neuromorphometrics"])
    assert list(read_labels(scan(neuromorphometrics=write_map("n.nii.gz", ids)), protocols)) == ["neuromorphometrics"]


def test_spm_gives_the_most_probable_tissue_and_background_where_the_rest_is_more(scan, tmp_path):
    grey, white, fluid = (np.zeros(SHAPE, np.float32) for _ in range(3))
    grey[0, 0, :4], white[0, 0, :4], fluid[0, 0, :4] = (0.6, 0.2, 0.1, 0.3), (0.3, 0.7, 0.1, 0.1), (0.1, 0.1, 0.7, 0.1)
    files = tuple(tmp_path / f"c{number}a.nii" for number in (1, 2, 3))
    for path, values in zip(files, (grey, white, fluid), strict=True):
        write_volume(path, Volume(values, AFFINE))
    labels = read_labels(scan(spmtissue=files), load_protocols(["spmtissue"]))["spmtissue"]
    assert labels.ids[0, 0].tolist() == [2, 3, 1, 0, 0, 0]
    assert np.count_nonzero(labels.ids) == 3
    write_volume(files[1], Volume(white * 255, AFFINE))
    with pytest.raises(UnusableInputError, match=r"^c2a\.nii: holds values outside 0 and 1"):
        read_labels(scan(spmtissue=files), load_protocols(["spmtissue"]))


def test_unknown_ids_are_listed_with_the_file(scan, write_map, ids):
    ids[0, 0, :3] = (126, 210, 210)
    with pytest.raises(LabelError, match=r"^n\.nii\.gz: ids 210 \(2 voxels\) are not in the scheme neuromorphometrics"):
        check_training_set(
            [scan(neuromorphometrics=write_map("n.nii.gz", ids))], load_protocols(["neuromorphometrics"])
        )


def test_a_label_map_on_another_grid_is_named_with_its_scan(scan, write_map, ids):
    moved = AFFINE.copy()
    moved[0, 3] += 0.01
    for path in (write_map("moved.nii.gz", ids, moved), write_map("less.nii.gz", ids[:, :, :5])):
        with pytest.raises(GridError, match=f"^{path.name}: not on the grid of sub-01_T1w.nii.gz"):
            read_labels(scan(neuromorphometrics=path), load_protocols(["neuromorphometrics"]))


def test_one_class_only_is_refused_in_a_map_and_in_a_table(scan, write_map, ids, tmp_path):
    ids[ids > 0] = 44
    protocols = load_protocols(["subcortical15"], merged_from={"subcortical15": "neuromorphometrics"})
    with pytest.raises(LabelError, match=r"^n\.nii\.gz: holds one class only in subcortical15"):
        read_labels(scan(neuromorphometrics=write_map("n.nii.gz", ids)), protocols)
    (tmp_path / "lonely.tsv").write_text("index\tname\n0\tnothing\n")
    with pytest.raises(LabelError, match="protocol lonely: has one class only"):
        load_protocols(["lonely"], folder=tmp_path)


def test_each_scan_and_each_protocol_needs_a_label_map(scan, tmp_path):
    protocols = load_protocols(["hmrf", "atropos"])
    full, half = scan(hmrf=tmp_path / "h.nii", atropos=tmp_path / "a.nii"), scan(hmrf=tmp_path / "h.nii")
    assert require_taught([full, half], protocols) == {"hmrf": 2, "atropos": 1}
    with pytest.raises(UnusableInputError, match="no scan has a label map of atropos"):
        require_taught([half], protocols)
    with pytest.raises(UnusableInputError, match=r"^sub-01: no label map of hmrf, atropos"):
        require_taught([full, scan(tissue=tmp_path / "t.nii")], protocols)
    with pytest.raises(UnusableInputError, match="no scans to train on"):
        require_taught([], protocols)


def test_a_users_table_is_a_protocol_like_any_other(scan, write_map, tmp_path):
    (tmp_path / "mine.tsv").write_text("index\tname\n0\tnothing\n7\tthis\n")
    drawn = np.zeros(SHAPE, np.int32)
    drawn[0, 0, 0] = 7
    protocols = load_protocols(["mine", "hmrf"], folder=tmp_path)
    assert check_training_set(
        [scan(mine=write_map("m.nii.gz", drawn), hmrf=write_map("h.nii.gz", drawn // 7))], protocols
    )
    assert read_labels(scan(mine=tmp_path / "m.nii.gz"), protocols)["mine"].ids[0, 0, 0] == 7


@pytest.mark.parametrize(
    ("names", "merged", "words"),
    [
        ([], {}, "no protocol is named"),
        (["hmrf", "hmrf"], {}, "protocol hmrf is named more than once"),
        (["hmrf"], {"tissue5": "neuromorphometrics"}, "merged_from names tissue5, which is not among the protocols"),
        (["malpem"], {"malpem": "hmrf"}, "malpem cannot be merged from hmrf: its table has no column to_malpem"),
    ],
)
def test_protocols_that_contradict_each_other_are_refused(names, merged, words):
    with pytest.raises(ConfigError, match=words):
        load_protocols(names, merged_from=merged)


def test_progress_is_told_scan_by_scan(scan, write_map, ids):
    seen = []
    one = scan(neuromorphometrics=write_map("n.nii.gz", ids))
    check_training_set([one, one], load_protocols(["neuromorphometrics"]), lambda *step: seen.append(step))
    assert seen == [("checking sub-01", 0.0), ("checking sub-01", 0.5)]
