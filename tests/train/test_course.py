from dataclasses import replace

import numpy as np
import torch
from torch import nn

from neuronat.train.course import Course, Exercise, TrainConfig, follow_course, seconds_per_step


def make_exercise(net: nn.Module) -> Exercise:
    """Learn to answer 0 for what varies around 5."""

    def score(batch):
        return (net(batch) ** 2).mean(), torch.tensor([1.0]), len(batch)

    return Exercise(
        draw=lambda generator, _: 5 + torch.randn(8, 3, generator=generator),
        score=score,
        n_tasks=1,
        settings={"kind": 1},
    )


def make_net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))


def test_a_training_ends_with_the_average_of_its_weights(tmp_path):
    nets = {}
    for averaging in (0.0, 0.9):
        net = make_net()
        config = TrainConfig(iterations=30, optimizer="adam", rate=0.05, averaging=averaging)
        assert follow_course(net, make_exercise(net), config, Course(folder=tmp_path / str(averaging)))
        nets[averaging] = net
    last, mean = (net[1].bias.detach() for net in nets.values())
    assert float((last - mean).abs()) > 1e-4
    assert float(mean.abs()) < float(make_net()[1].bias.detach().abs())


def test_an_averaged_training_goes_on_as_if_it_had_not_stopped(tmp_path):
    config = TrainConfig(iterations=12, optimizer="adam", averaging=0.8, freeze_norms_from=0.5)
    whole, parts = make_net(), make_net()
    follow_course(whole, make_exercise(whole), config, Course(folder=tmp_path / "whole"))
    assert not follow_course(parts, make_exercise(parts), config, Course(folder=tmp_path / "parts", max_minutes=0))
    rest = make_net()
    follow_course(rest, make_exercise(rest), config, Course(folder=tmp_path / "parts", resume=True))
    for expected, found in zip(whole.state_dict().values(), rest.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected)


def test_late_in_a_training_normalization_keeps_its_statistics(tmp_path):
    def means(freeze_from: float) -> np.ndarray:
        net = make_net()
        config = TrainConfig(iterations=10, optimizer="adam", freeze_norms_from=freeze_from)
        follow_course(net, make_exercise(net), config, Course(folder=tmp_path / str(freeze_from)))
        return net[0].running_mean.numpy()

    np.testing.assert_array_equal(means(0.0), 0)
    assert means(1.0).min() > means(0.5).min() > 1  # towards the 5 of the examples


def test_timing_steps_changes_nothing():
    net = make_net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    calls = []
    exercise = make_exercise(net)
    counted = Exercise(
        draw=lambda chance, done: calls.append(chance) or exercise.draw(chance, done),
        score=exercise.score,
        n_tasks=1,
        settings={},
    )
    assert 0 < seconds_per_step(net, counted, TrainConfig(), n_steps=2) < 10
    assert len(calls) == 3
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    assert all(weight.grad is None for weight in net.parameters())


def test_examples_are_drawn_knowing_how_much_is_done(tmp_path):
    net, shares = make_net(), []
    exercise = make_exercise(net)
    watched = replace(exercise, draw=lambda chance, done: shares.append(done) or exercise.draw(chance, done))
    assert follow_course(net, watched, TrainConfig(iterations=4), Course(folder=tmp_path))
    assert shares == [0, 0.25, 0.5, 0.75]
