from types import SimpleNamespace

import pytest
from torch import nn

from neuronat.errors import ConfigError
from neuronat.pipeline.finetune_pupils import Pupil, fitted_iterations, foreground_threshold
from neuronat.pipeline.finetune_settings import FinetuneConfig, phases_of


@pytest.fixture
def pupils(monkeypatch):
    """A step of the heads takes 2 s, one of everything 6 s."""
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

    def seconds(net, exercise, _config):
        assert exercise == "an exercise"
        return 6.0 if net[0].weight.requires_grad else 2.0

    monkeypatch.setattr("neuronat.pipeline.finetune_pupils.seconds_per_step", seconds)
    return {"whole": Pupil(network, ("1.",), lambda _config: "an exercise")}


def test_as_many_steps_as_fit_into_85_percent_of_the_minutes(pupils):
    phases = phases_of(("whole",), FinetuneConfig(), has_fresh=True)
    found = fitted_iterations(phases, pupils, minutes=60.0)
    assert found == {"whole-heads": int(3600 * 0.85 * 0.3 / 2), "whole-all": int(3600 * 0.85 * 0.7 / 6)}


def test_minutes_without_room_for_ten_steps_are_refused(pupils):
    phases = phases_of(("whole",), FinetuneConfig(), has_fresh=True)
    with pytest.raises(ConfigError, match=r"1\.5 minutes are left, a step of whole-all takes 6\.0 s; give more"):
        fitted_iterations(phases, pupils, minutes=1.5)
    with pytest.raises(ConfigError, match=r"-3\.0 minutes are left"):
        fitted_iterations(phases, pupils, minutes=-3.0)


@pytest.mark.parametrize(("recipe", "expected"), [({}, 0.02), ({"foreground_threshold": 0.5}, 0.5)])
def test_the_threshold_of_a_first_stage_is_the_cards_or_the_usual_one(recipe, expected):
    model = SimpleNamespace(card=SimpleNamespace(training=SimpleNamespace(recipe=recipe)))
    assert foreground_threshold(model) == expected
