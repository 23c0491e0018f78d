import numpy as np
import pytest
import torch

from neuronat.errors import UnusableInputError
from neuronat.pipeline import finder
from neuronat.pipeline.finder import find_brain
from neuronat.pipeline.settings import no_progress

CPU = torch.device("cpu")


@pytest.fixture
def no_shape(monkeypatch):
    """A shape that says nothing."""
    monkeypatch.setattr(finder, "LEAST_SUPPORT", 0.0)
    monkeypatch.setattr(finder, "fit_shape", lambda share, _step: np.full(share.shape, 0.5, np.float32))


@pytest.fixture
def untrimmed(monkeypatch):
    """A border that stays where the network saw it."""
    monkeypatch.setattr(finder, "_trimmed", lambda body, _brightness: body)
    monkeypatch.setattr(finder, "PARTIAL", np.inf)


@pytest.mark.usefixtures("no_shape", "untrimmed")
def test_a_brain_is_the_largest_part_without_holes_and_bridges(monkeypatch, make_whole):
    i, j, k = np.indices((90, 92, 100))
    ball = (i - 44) ** 2 + (j - 45) ** 2 + (k - 45) ** 2 < 42**2
    share = np.where(ball, np.float32(0.9), 0)
    share[40:45, 40:45, 40:45] = 0.1  # a hole
    share[1:4, 1:4, 1:4] = 0.9  # an islet
    share[43:46, 44:47, 86:96] = 0.9  # a thin bridge
    share[36:53, 37:54, 94:100] = 0.9  # to another body
    rows = np.stack([1 - share.ravel(), share.ravel()], 1)
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: rows)
    found = find_brain(make_whole(), np.ones(share.shape, np.float32), CPU, no_progress)
    assert not found[:, :, 90:].any()
    assert not found[:5, :5, :5].any()
    found[43:46, 44:47, 86:90] = False  # the first voxels of the bridge may stay
    assert np.count_nonzero(found != ball) < 50


@pytest.mark.usefixtures("no_shape")
def test_a_scan_without_a_brain_is_refused(monkeypatch, make_whole):
    rows = np.tile(np.array([[0.9, 0.1]], np.float32), (20 * 22 * 24, 1))
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: rows)
    with pytest.raises(UnusableInputError, match=r"holds no brain that could be found \(.* 0 ml\)"):
        find_brain(make_whole(), np.ones((20, 22, 24), np.float32), CPU, no_progress)


@pytest.mark.usefixtures("no_shape", "untrimmed")
def test_a_coarse_network_sees_means_and_its_answer_is_refined(monkeypatch, make_whole):
    seen = {}

    def encode(_net, channels, *_):
        seen["channels"] = channels

    ramp = np.indices((71, 62, 60), np.float32)[0] + 1
    rows = (np.indices((36, 31, 30), np.float32)[0].ravel() * 2 + 0.5) / 71  # the middle of each cube
    monkeypatch.setattr(finder, "encode_scan", encode)
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: np.stack([1 - rows, rows], 1))
    monkeypatch.setattr(finder, "LEAST_BRAIN_VOX", 1000)
    found = find_brain(make_whole(step_vox=2), ramp, CPU, no_progress)
    assert seen["channels"].shape == (1, 36, 31, 30)
    expected = np.zeros(ramp.shape, bool)
    expected[36:] = True  # 36 / 71 is the first above a half
    inside = (slice(None), slice(9, -9), slice(9, -9))  # the edges of the block are rounded
    np.testing.assert_array_equal(found[inside], expected[inside])


def test_what_has_not_the_shape_of_a_brain_is_refused(monkeypatch, make_whole):
    share = np.zeros((60, 60, 60), np.float32)
    share[::7] = 0.9
    rows = np.stack([1 - share.ravel(), share.ravel()], 1)
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: rows)
    with pytest.raises(UnusableInputError, match="does not look like a human head"):
        find_brain(make_whole(), np.ones(share.shape, np.float32), CPU, no_progress)


@pytest.mark.usefixtures("no_shape")
def test_the_border_lies_where_the_tissue_ends(monkeypatch, make_whole):
    i, j, k = np.indices((100, 100, 100)) - 49.5
    tissue = i**2 + j**2 + k**2 < 42**2
    cleft = (np.abs(i) < 3) & (k > 20)  # a fissure
    grey = (tissue & ~cleft).astype(np.float32)
    grey[i**2 + j**2 + k**2 > 47**2] = 0.8  # skin, behind a dark gap
    grey[46:54, 46:54, :12] = 0.8  # and a nerve that leads out
    seen = (i / 46) ** 2 + (j / 46) ** 2 + (k / 41) ** 2 < 1  # too wide, and too low by a voxel
    rows = np.stack([1.0 - seen.ravel(), seen.ravel()], 1).astype(np.float32)
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: rows)
    found = find_brain(make_whole(), grey, CPU, no_progress)
    nerve = np.zeros_like(tissue)
    nerve[46:54, 46:54, :12] = True
    assert np.count_nonzero((found != tissue) & ~nerve & ~cleft) < 0.02 * np.count_nonzero(tissue)
    assert found[cleft & (k < 30) & (np.abs(j) < 12)].all()
    assert np.count_nonzero(found & nerve & ~tissue) < 0.5 * np.count_nonzero(nerve & ~tissue)


@pytest.mark.usefixtures("no_shape")
@pytest.mark.parametrize(("brightness", "is_kept"), [(0.5, True), (0.34, True), (0.1, False)])
def test_the_rim_that_holds_some_tissue_belongs_to_the_brain(monkeypatch, make_whole, brightness, is_kept):
    i, j, k = np.indices((100, 100, 100)) - 49.5
    radius = np.sqrt(i**2 + j**2 + k**2)
    grey = np.select([radius < 42, radius < 43.5], [1.0, brightness], 0.0).astype(np.float32)
    seen = radius < 42
    rows = np.stack([1.0 - seen.ravel(), seen.ravel()], 1).astype(np.float32)
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: rows)
    found = find_brain(make_whole(), grey, CPU, no_progress)
    assert found[radius < 41].all()
    assert not found[radius > 44.5].any(), "one voxel, no more"
    rim = (radius >= 42) & (radius < 42.8)
    assert (found[rim].mean() > 0.9) == is_kept


@pytest.mark.usefixtures("no_shape")
def test_a_brain_at_the_edge_of_the_picture_stays(monkeypatch, make_whole):
    shape = (70, 80, 90)
    rows = np.tile(np.array([[0.1, 0.9]], np.float32), (int(np.prod(shape)), 1))
    monkeypatch.setattr(finder, "class_probabilities", lambda *_: rows)
    found = find_brain(make_whole(), np.ones(shape, np.float32), CPU, no_progress)
    assert all(line.all() for line in (found[:, 40, 45], found[35, :, 45], found[35, 40, :]))
