import numpy as np
import pytest
import torch

from neuronat.errors import ModelError, UnusableInputError
from neuronat.infer.tiles import TileConfig
from neuronat.labels.scheme import load_scheme
from neuronat.nets.card import ModelCard, StageSpec, TrainingRecord
from neuronat.nets.network import build_network
from neuronat.nets.store import Model
from neuronat.pipeline import answers
from neuronat.pipeline.answers import answer_whole, find_brain
from neuronat.prepare.scan import prepare_scan

CPU = torch.device("cpu")


def make_model(n_coordinates: int = 0, step_vox: int = 1) -> Model:
    protocols = {"tissue": 4, "brain": 2}
    spec = StageSpec(
        architecture="unet",
        protocols=protocols,
        filters=(4, 6),
        n_features=5,
        n_hidden=7,
        n_coordinates=n_coordinates,
        step_vox=step_vox,
    )
    card = ModelCard(
        name="tiny",
        description="made by a test",
        stages={"whole": spec},
        schemes=tuple(protocols),
        training=TrainingRecord(material="none", n_scans=0),
        licence="CC0-1.0",
    )
    torch.manual_seed(0)
    network = build_network(spec.network_config).eval()
    return Model(card, {"whole": network}, {name: load_scheme(name) for name in protocols})


def quiet(_step: str, _done: float) -> None:
    """Take progress and do nothing."""


@pytest.mark.parametrize("n_coordinates", [0, 6])
def test_every_voxel_of_the_mask_gets_its_most_probable_class(phantom, n_coordinates):
    volume, _, mask = phantom
    prepared = prepare_scan(volume, mask)
    (answer,) = answer_whole(make_model(n_coordinates), prepared, ("tissue",), TileConfig(device=CPU), quiet).values()
    channels = np.stack(list(answer.channels()))
    assert channels.shape == (4, np.count_nonzero(prepared.mask))
    np.testing.assert_allclose(channels.sum(0), 1, atol=1e-5)  # float32 exponentials
    np.testing.assert_array_equal(channels[answer.classes, np.arange(channels.shape[1])], channels.max(0))
    np.testing.assert_allclose(answer.masses, channels.sum(1, np.float64), rtol=1e-5)  # float32 exponentials


@pytest.fixture
def no_shape(monkeypatch):
    """A shape that says nothing."""
    monkeypatch.setattr(answers, "LEAST_SUPPORT", 0.0)
    monkeypatch.setattr(answers, "fit_shape", lambda share, _step: np.full(share.shape, 0.5, np.float32))


@pytest.mark.usefixtures("no_shape")
def test_a_brain_is_the_largest_part_without_holes_and_bridges(monkeypatch):
    i, j, k = np.indices((90, 92, 100))
    ball = (i - 44) ** 2 + (j - 45) ** 2 + (k - 45) ** 2 < 42**2
    share = np.where(ball, np.float32(0.9), 0)
    share[40:45, 40:45, 40:45] = 0.1  # a hole
    share[1:4, 1:4, 1:4] = 0.9  # an islet
    share[43:46, 44:47, 86:96] = 0.9  # a thin bridge
    share[36:53, 37:54, 94:100] = 0.9  # to another body
    rows = np.stack([1 - share.ravel(), share.ravel()], 1)
    monkeypatch.setattr(answers, "class_probabilities", lambda *_: rows)
    found = find_brain(make_model(), np.ones(share.shape, np.float32), CPU, quiet)
    assert not found[:, :, 90:].any()
    assert not found[:5, :5, :5].any()
    found[43:46, 44:47, 86:90] = False  # the first voxels of the bridge may stay
    assert np.count_nonzero(found != ball) < 50


@pytest.mark.usefixtures("no_shape")
def test_a_scan_without_a_brain_is_refused(monkeypatch):
    rows = np.tile(np.array([[0.9, 0.1]], np.float32), (20 * 22 * 24, 1))
    monkeypatch.setattr(answers, "class_probabilities", lambda *_: rows)
    with pytest.raises(UnusableInputError, match=r"holds no brain that could be found \(.* 0 ml\)"):
        find_brain(make_model(), np.ones((20, 22, 24), np.float32), CPU, quiet)


def test_a_patchwise_model_cannot_label_whole_scans(untrained_model, phantom):
    prepared = prepare_scan(phantom[0], phantom[2])
    with pytest.raises(ModelError, match="labels patch by patch"):
        answer_whole(untrained_model, prepared, ("deepnat25",), TileConfig(device=CPU), quiet)


@pytest.mark.usefixtures("no_shape")
def test_a_coarse_network_sees_means_and_its_answer_is_refined(monkeypatch):
    seen = {}

    def encode(_net, channels, *_):
        seen["channels"] = channels

    ramp = np.indices((71, 62, 60), np.float32)[0] + 1
    rows = (np.indices((36, 31, 30), np.float32)[0].ravel() * 2 + 0.5) / 71  # the middle of each cube
    monkeypatch.setattr(answers, "encode_scan", encode)
    monkeypatch.setattr(answers, "class_probabilities", lambda *_: np.stack([1 - rows, rows], 1))
    monkeypatch.setattr(answers, "LEAST_BRAIN_VOX", 1000)
    found = find_brain(make_model(step_vox=2), ramp, CPU, quiet)
    assert seen["channels"].shape == (1, 36, 31, 30)
    expected = np.zeros(ramp.shape, bool)
    expected[36:] = True  # 36 / 71 is the first above a half
    inside = (slice(None), slice(9, -9), slice(9, -9))  # the edges of the block are rounded
    np.testing.assert_array_equal(found[inside], expected[inside])


def test_what_has_not_the_shape_of_a_brain_is_refused(monkeypatch):
    share = np.zeros((60, 60, 60), np.float32)
    share[::7] = 0.9
    rows = np.stack([1 - share.ravel(), share.ravel()], 1)
    monkeypatch.setattr(answers, "class_probabilities", lambda *_: rows)
    with pytest.raises(UnusableInputError, match="does not look like a human head"):
        find_brain(make_model(), np.ones(share.shape, np.float32), CPU, quiet)
