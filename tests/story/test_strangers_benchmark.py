"""The benchmark on painted brains of people whom no network knows, on a small head."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from neuronat.labels.scheme import load_scheme
from neuronat.space.files import write_label_map
from neuronat.space.volume import LabelMap


@pytest.fixture
def head(tmp_path: Path, monkeypatch) -> np.ndarray:
    """A label map of a whole head: white matter left and right, a lesion, a ventricle with a plexus, fluid, a shell."""
    i, j, k = np.indices((40, 44, 42))
    radius = np.sqrt(((i - 19.5) / 19) ** 2 + ((j - 21.5) / 21) ** 2 + ((k - 20.5) / 20) ** 2)
    ids = np.select([radius < 0.75, radius < 0.85, radius < 1], [np.where(i < 20, 2, 41), 24, 511], 0)
    ids[12:18, 14:30, 16:26] = 4
    ids[14:16, 18:24, 18:22] = 136
    ids[24:27, 14:20, 16:20] = 57
    (tmp_path / "labelmaps").mkdir()
    head = LabelMap(ids.astype(np.int32), np.eye(4), load_scheme("wholehead"))
    write_label_map(tmp_path / "labelmaps" / "sub-07_dseg.nii.gz", head)
    monkeypatch.setenv("NEURONAT_DATA", str(tmp_path))
    return ids


def test_a_painted_brain_is_stripped_and_knows_its_structures(load_benchmark, head):
    stranger = load_benchmark("strangers").painted("07")
    values, truth = stranger.volume.values, stranger.truth
    assert set(np.unique(truth).tolist()) == {0, 2, 4, 41}  # the lesion is white matter, the plexus ventricle
    assert stranger.ventricles_ml == np.isin(head, (4, 136)).sum() / 1000
    np.testing.assert_array_equal(values > 0, stranger.mask)
    assert np.median(values[truth == 4]) < 0.5 * np.median(values[truth == 2])


@pytest.mark.usefixtures("head")
def test_a_perfect_labelling_has_a_dice_of_one_and_is_not_made_twice(
    load_benchmark, tmp_path: Path, monkeypatch, capsys
):
    script = load_benchmark("strangers")
    asked = []

    def perfect(scan: Path, *, config) -> SimpleNamespace:
        asked.append((scan.name, config.models))
        truth = script.painted("07").truth
        return SimpleNamespace(labels={"deepnat25": LabelMap(truth, np.eye(4), load_scheme("deepnat25"))})

    monkeypatch.setattr(script, "segment", perfect)
    table = tmp_path / "rows.tsv"
    monkeypatch.setattr(sys, "argv", ["strangers.py", str(table), "--model", "some/deepnat,neuronet", "--heads", "07"])
    script.main()
    assert "deepnat+neuronet: mean Dice 1.0000" in capsys.readouterr().out
    assert asked == [("sub-07_desc-brain_T1w.nii.gz", ("some/deepnat", "neuronet"))]
    before = table.read_text()
    assert before.splitlines()[1] == "deepnat+neuronet\t07\t1.0\t2\tLeft-Cerebral-White-Matter\t1.0000"
    script.main()
    assert (len(asked), table.read_text()) == (1, before)
