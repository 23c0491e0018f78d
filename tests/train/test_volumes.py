from pathlib import Path

import numpy as np
import pytest
import torch

from neuronat.errors import LabelError, MissingInputError, ShapeError, UnusableInputError
from neuronat.labels.scheme import parse_scheme
from neuronat.train.teaching import Protocol
from neuronat.train.volumes import (
    PackedVolume,
    lookup_tables,
    read_volume_file,
    to_device,
    untaught_ids,
    write_volume_file,
)

FINE = parse_scheme(
    "fine", "index\tname\tpair\tto_coarse\n0\tNothing\t0\t0\n7\tLeft\t9\t2\n9\tRight\t7\t2\n4\tFluid\t4\t0\n"
)
COARSE = parse_scheme("coarse", "index\tname\n0\tNothing\n2\tTissue\n")


def make_volume(**changes) -> PackedVolume:
    ids = np.zeros((4, 5, 6), np.int16)
    ids[1:3, 1:4, 2:5] = 7
    ids[2, 2, 2] = 4
    ready = {"name": "sub-01", "mask": ids > 0, "maps": {"fine": ids}, "grey": (ids * 10).astype(np.uint8)}
    return PackedVolume(**(ready | changes))


def test_a_packed_volume_comes_back_as_it_was(tmp_path: Path):
    volume = make_volume(ageing=np.ones((6, 2, 3, 3), np.float16))
    back = read_volume_file(write_volume_file(volume, tmp_path))
    assert back.name == "sub-01"
    for name in ("mask", "grey", "ageing"):
        np.testing.assert_array_equal(getattr(back, name), getattr(volume, name))
    np.testing.assert_array_equal(back.maps["fine"], volume.maps["fine"])


def test_a_label_map_without_a_scan_can_be_packed(tmp_path: Path):
    back = read_volume_file(write_volume_file(make_volume(grey=None), tmp_path))
    assert (back.grey, back.ageing) == (None, None)


def test_what_cannot_train_is_named():
    with pytest.raises(ShapeError, match="sub-01: scan, mask and label maps must share one 3D grid"):
        make_volume(grey=np.zeros((4, 5, 7), np.uint8))
    with pytest.raises(UnusableInputError, match="sub-01: the brain mask is empty"):
        make_volume(mask=np.zeros((4, 5, 6), bool))
    with pytest.raises(LabelError, match="sub-01: no voxel carries a label"):
        make_volume(maps={"fine": np.zeros((4, 5, 6), np.int16)})


def test_missing_and_damaged_files_are_named(tmp_path: Path):
    with pytest.raises(MissingInputError, match=r"none\.npz: packed scan not found"):
        read_volume_file(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    with pytest.raises(UnusableInputError, match=r"bad\.npz: not a packed scan"):
        read_volume_file(tmp_path / "bad.npz")


def test_on_a_device_ids_are_classes_and_the_brain_has_a_place():
    head = to_device(make_volume(), {"fine": FINE}, torch.device("cpu"))
    assert sorted(np.unique(head.maps["fine"]).tolist()) == [0, 1, 3]
    assert head.centre.tolist() == [1.5, 2, 3]
    assert head.extents.tolist() == [2, 3, 3]
    assert int(head.near.sum()) == 4 * 5 * 6  # three voxels around the brain: everything here


def test_unknown_ids_are_listed():
    with pytest.raises(LabelError, match=r"sub-01, coarse: ids 4 \(1 voxels\), 7 \(17 voxels\)"):
        to_device(make_volume(maps={"coarse": make_volume().maps["fine"]}), {"coarse": COARSE}, torch.device("cpu"))


def test_a_protocol_is_looked_up_in_its_source_and_in_the_heads_map():
    heads = parse_scheme("heads", "index\tname\tto_coarse\n0\tNothing\t0\n500\tSkin\t0\n3\tBrain\t2\n")
    tables = lookup_tables({"fine": Protocol(FINE, FINE), "coarse": Protocol(COARSE, FINE)}, heads)
    assert {source: table.tolist() for source, table in tables["fine"].items()} == {"fine": [0, 1, 2, 3]}
    found = {source: table.tolist() for source, table in tables["coarse"].items()}
    assert found == {"fine": [0, 1, 1, 0], "heads": [0, 0, 1]}


def test_what_no_volume_shows_is_untaught_and_a_stray_voxel_shows_nothing():
    heads = parse_scheme("heads", "index\tname\tto_coarse\n0\tNothing\t0\n500\tSkin\t0\n3\tBrain\t2\n")
    protocols = {"fine": Protocol(FINE, FINE), "coarse": Protocol(COARSE, FINE)}
    assert untaught_ids([make_volume()], protocols, heads) == {"fine": (9, 4)}  # 4 has one voxel, 9 none
    right = np.where(make_volume().maps["fine"] > 0, 9, 0).astype(np.int16)
    assert untaught_ids([make_volume(), make_volume(maps={"fine": right})], protocols, heads) == {"fine": (4,)}
    head = make_volume(maps={"heads": (right > 0) * np.int16(3)}, grey=None)
    assert untaught_ids([head], protocols, heads) == {"fine": (7, 9, 4)}, "the heads' map teaches the coarse one"
