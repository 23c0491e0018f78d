from collections.abc import Callable

import pytest
import torch

from neuronat.labels.scheme import load_scheme
from neuronat.nets.card import ModelCard, StageSpec, TrainingRecord
from neuronat.nets.network import build_network
from neuronat.nets.store import Model


@pytest.fixture
def make_whole() -> Callable[..., Model]:
    """Make an untrained model of whole scans, by default with the protocols tissue and brain."""

    def make(*protocols: str, n_coordinates: int = 0, step_vox: int = 1) -> Model:
        schemes = {name: load_scheme(name) for name in protocols or ("tissue", "brain")}
        spec = StageSpec(
            architecture="unet",
            protocols={name: scheme.n_classes for name, scheme in schemes.items()},
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
            schemes=tuple(schemes),
            training=TrainingRecord(material="none", n_scans=0),
            licence="CC0-1.0",
        )
        torch.manual_seed(0)
        return Model(card, {"whole": build_network(spec.network_config).eval()}, schemes)

    return make
