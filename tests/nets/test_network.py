import pytest

from neuronat.errors import ModelError
from neuronat.nets.card import ModelCard, StageSpec, TrainingRecord, read_card, write_card
from neuronat.nets.network import ARCHITECTURES, build_network

PROTOCOLS = {"deepnat25": 26, "brain": 2}
SPECS = (
    StageSpec(n_classes=26),
    StageSpec(architecture="neuronet", protocols=PROTOCOLS),
    StageSpec(architecture="unet", protocols=PROTOCOLS, filters=(4, 6, 8), n_features=5, n_hidden=7),
)


def make_card(spec: StageSpec, **changes: object) -> ModelCard:
    ready = {
        "name": "whole",
        "description": "made by a test",
        "stages": {"whole": spec},
        "schemes": tuple(PROTOCOLS),
        "training": TrainingRecord(material="none", n_scans=0),
        "licence": "CC0-1.0",
    }
    return ModelCard(**(ready | changes))


@pytest.mark.parametrize("spec", SPECS, ids=ARCHITECTURES)
def test_each_architecture_is_built_from_its_spec(spec):
    assert build_network(spec.network_config).config == spec.network_config


@pytest.mark.parametrize("spec", SPECS[1:], ids=ARCHITECTURES[1:])
def test_a_card_of_several_protocols_comes_back(spec):
    card = make_card(spec)
    assert read_card(write_card(card)) == card
    assert next(iter(card.stages.values())).classes_by_protocol == (26, 2)


def test_schemes_are_the_protocols_and_stages_suit_their_networks():
    with pytest.raises(ModelError, match=r"schemes must be the protocols \['deepnat25', 'brain'\]; got \['brain'\]"):
        make_card(SPECS[1], schemes=("brain",))
    with pytest.raises(ModelError, match="stage whole cannot be a deepnat"):
        make_card(SPECS[0])
    with pytest.raises(ModelError, match="stage structures cannot be a unet"):
        make_card(SPECS[2], stages={"structures": SPECS[2]})
    with pytest.raises(ModelError, match="protocols must name at least one"):
        StageSpec(architecture="neuronet")
