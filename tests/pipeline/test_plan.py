import os
from pathlib import Path

import pytest

from neuronat.errors import UnusableInputError
from neuronat.pipeline.plan import plan_task, require_usable_name
from neuronat.pipeline.settings import SegmentConfig
from neuronat.record import write_text

ENDING = "_seg-deepnat25_probseg.nii.gz"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (os.fsdecode(b"m\xfcller.nii.gz"), r"m\\udcfcller\.nii\.gz: its name is not UTF-8; rename it"),
        ("x" * 227 + ".nii.gz", r"x\.nii\.gz: names of its outputs would take 256 bytes, and 255 is the limit"),
        ("ü" * 114 + ".nii.gz", r"names of its outputs would take 257 bytes"),
    ],
)
def test_a_name_that_outputs_cannot_bear_fails_before_anything_is_computed(
    untrained_model, phantom_files, tmp_path: Path, name: str, words: str
):
    scan = tmp_path / name
    scan.symlink_to(phantom_files.scan)
    config = SegmentConfig(protocols=("deepnat25",))
    task = plan_task(scan, tmp_path / "out", config, [untrained_model])
    with pytest.raises(UnusableInputError, match=words):
        raise task.failure


@pytest.mark.parametrize("stem", ["x" * 226, "ü" * 113])
def test_the_longest_name_that_passes_can_be_written(tmp_path: Path, stem: str):
    require_usable_name(Path(f"{stem}.nii.gz"), ["deepnat25"])
    write_text(tmp_path / (stem + ENDING), "whole")
    assert [path.name for path in tmp_path.iterdir()] == [stem + ENDING]
