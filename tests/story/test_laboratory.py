"""The laboratory from scans to tables, on a phantom that stands for a scan of the training set."""

import numpy as np
import pytest

from neuronat.labels import load_scheme
from neuronat.measure.laboratory import parse_rows
from neuronat.phantom import make_phantom
from neuronat.space.files import read_mask, read_volume, write_label_map, write_mask, write_volume
from neuronat.space.scan import ReadOptions
from neuronat.space.volume import LabelMap

pytestmark = pytest.mark.slow
FLUID, WHITE = (4, 43, 14, 15), (2, 41, 7, 46, 16)


@pytest.fixture
def stress(tmp_path, monkeypatch, load_benchmark):
    """Runs `python benchmarks/stress.py ...` in this process, on data that hold one phantom."""
    folder = tmp_path / "data" / "malc" / "sub-77" / "anat"
    folder.mkdir(parents=True)
    volume, labels, mask = make_phantom()
    fine = load_scheme("neuromorphometrics")
    finest = {coarse: index for index, coarse in reversed(fine.mappings["deepnat25"].items())}
    ids = np.vectorize({**finest, 0: 0}.get)(labels.ids).astype(np.int32)
    kinds = np.where(np.isin(labels.ids, FLUID), 1, np.where(np.isin(labels.ids, WHITE), 3, 2)) * mask
    write_volume(folder / "sub-77_desc-brain_T1w.nii.gz", volume)
    write_mask(folder / "sub-77_desc-brain_mask.nii.gz", mask, volume.affine)
    write_label_map(folder / "sub-77_seg-neuromorphometrics_dseg.nii.gz", LabelMap(ids, volume.affine, fine))
    tissue = LabelMap(kinds.astype(np.int32), volume.affine, load_scheme("tissue"))
    write_label_map(folder / "sub-77_seg-tissue_dseg.nii.gz", tissue)
    monkeypatch.setenv("NEURONAT_DATA", str(tmp_path / "data"))
    script = load_benchmark("stress")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["stress.py", *map(str, arguments)])
        script.main()

    return run


@pytest.mark.usefixtures("swift_pipeline")
def test_a_stress_set_is_made_measured_and_not_measured_twice(stress, tmp_path, untrained_folder, capsys):
    out, table = tmp_path / "stress", tmp_path / "results" / "table.tsv"
    stress("make", out, "--scans", "sub-77", "--kinds", "plain", "thick", "retest", "--repeats", 1)
    assert "sub-77_acq-thick: ventricles x" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir())[:2] == ["plain", "retestall"]
    thick = read_volume(out / "thick" / "sub-77_acq-thick_desc-brain_T1w.nii.gz", ReadOptions(force=True)).volume
    assert thick.affine[2, 2] == 3
    mask = read_mask(out / "thick" / "sub-77_acq-thick_desc-brain_mask.nii.gz", ReadOptions(force=True))
    np.testing.assert_array_equal(thick.values > 0, mask.values > 0)
    stress("make", out, "--scans", "sub-77", "--kinds", "plain", "thick")
    assert capsys.readouterr().out == ""
    stress("table", out, table, "--model", untrained_folder, "--kinds", "plain", "retestn", "thick", "--force")
    shown = capsys.readouterr().out
    assert "| deepnat25 | untrained |\n| --- | --- |\n| plain | 0." in shown
    assert "| retest, deepnat25 | model |" in shown
    assert "| noise | untrained | " in shown
    text = table.read_text()
    assert [row.kind for row in parse_rows(text)] == ["plain", "retestnoise", "thick"]
    stress("table", out, table, "--model", untrained_folder, "--kinds", "plain", "--force")
    assert table.read_text() == text


@pytest.mark.usefixtures("swift_pipeline")
def test_a_refused_scan_stands_in_the_table_and_is_tried_again(stress, tmp_path, untrained_folder, capsys):
    out, table = tmp_path / "stress", tmp_path / "table.tsv"
    stress("make", out, "--scans", "sub-77", "--kinds", "plain")
    stress("table", out, table, "--model", untrained_folder)
    (row,) = parse_rows(table.read_text())
    assert row.protocol == "refused"
    assert "the mask has 35 ml, and a brain has 500 to 2200 ml" in row.worst
    stress("table", out, table, "--model", untrained_folder, "--force")
    assert [row.protocol for row in parse_rows(table.read_text())] == ["deepnat25"]
    assert "refused)" not in capsys.readouterr().out
