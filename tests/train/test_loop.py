import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.errors import ConfigError
from neuronat.nets.deepnat import DeepNat, DeepNatConfig, task_offsets
from neuronat.train.augment import AugmentConfig
from neuronat.train.course import Course, TrainConfig, make_optimizer, rate_at
from neuronat.train.examples import draw_anchors, find_candidates, gather_blocks, margin_vox
from neuronat.train.loop import Lesson, make_exercise, score_block, train_network
from neuronat.train.scans import stack_scans

CPU = torch.device("cpu")
SMALL = TrainConfig(iterations=4, n_blocks=2, n_centres=2, rate=0.01)


def lesson_of(scan, n_centres=2):
    examples = stack_scans([scan], margin_vox=margin_vox(n_centres), around_foreground_vox=None, device=CPU)
    return Lesson(examples, find_candidates(examples, 5, {}), torch.tensor([0, 2, 1, 4, 3]), AugmentConfig())


def new_net(seed=0, **config):
    torch.manual_seed(seed)
    return DeepNat(DeepNatConfig(n_classes=5, **config))


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("n_tasks", "coordinates"), [(1, ()), (7, ("cartesian",)), (27, ("spectral", "cartesian"))])
def test_a_block_scores_like_its_patches(scan, n_tasks, coordinates):
    net = new_net(n_tasks=n_tasks, coordinates=coordinates).eval()
    lesson = lesson_of(scan)
    generator = torch.Generator().manual_seed(1)
    anchors = draw_anchors(lesson.candidates, 3, generator)
    block = gather_blocks(lesson.examples, anchors, torch.from_numpy(task_offsets(n_tasks)), generator, n_centres=2)
    with torch.no_grad():
        scores, labels = score_block(net, block)
    row = 0
    for b in range(3):
        for i, j, k in np.ndindex(2, 2, 2):
            if not block.eligible[b, i, j, k]:
                continue
            patch = block.intensities[b : b + 1, :, 2 * i : 2 * i + 23, 2 * j : 2 * j + 23, 2 * k : 2 * k + 23]
            coordinate = block.coordinates[b, i, j, k][list(net.config.coordinate_channels)]
            with torch.no_grad():
                expected = net(patch, coordinate[None])[0]
            # float32 sums of 1728 products in another order
            np.testing.assert_allclose(scores[row], expected, atol=2e-5)
            np.testing.assert_array_equal(labels[row], block.labels[b, i, j, k])
            row += 1
    assert row == len(scores)


def test_single_patches_are_the_blocks_with_one_centre(scan):
    net, lesson = new_net().eval(), lesson_of(scan, n_centres=1)
    generator = torch.Generator().manual_seed(1)
    anchors = draw_anchors(lesson.candidates, 4, generator)
    block = gather_blocks(lesson.examples, anchors, torch.from_numpy(task_offsets(7)), generator, n_centres=1)
    with torch.no_grad():
        scores, _ = score_block(net, block)
        expected = net(block.intensities, block.coordinates[:, 0, 0, 0])
    np.testing.assert_array_equal(scores, expected)


def test_centres_are_drawn_balanced_at_first_and_as_frequent_as_they_are_in_the_end(scan):
    lesson = replace(lesson_of(scan, n_centres=1), augment=AugmentConfig(flip=0.0, jitter_vox=0.0))
    exercise = make_exercise(new_net(), lesson, TrainConfig(n_blocks=3000, n_centres=1, balanced_until=0.6))
    is_eligible = lesson.examples.rows > 0
    natural = torch.bincount(lesson.examples.classes[is_eligible].long(), minlength=5) / int(is_eligible.sum())
    assert float((natural - 0.2).abs().max()) > 0.1  # or the two could not be told apart
    for share_done, expected in ((0.0, torch.full((5,), 0.2)), (0.59, torch.full((5,), 0.2)), (0.6, natural)):
        block = exercise.draw(torch.Generator().manual_seed(5), share_done)
        drawn = torch.bincount(block.labels[:, 0, 0, 0, 0], minlength=5) / 3000
        np.testing.assert_allclose(drawn, expected, atol=0.03)  # four standard deviations


def test_training_lowers_the_loss_and_logs_it(scan, tmp_path):
    config = TrainConfig(iterations=12, n_blocks=4, n_centres=2, rate=0.02, warm_up=0.0)
    assert train_network(new_net(), lesson_of(scan), config, Course(folder=tmp_path, log_every=4))
    logged = lines(tmp_path)
    assert [line["iteration"] for line in logged] == [4, 8, 12]
    assert logged[-1]["loss"] < logged[0]["loss"]
    assert len(logged[0]["accuracy_per_task"]) == 7
    assert {"centres_per_s", "share_sampling", "seconds_left", "rate"} <= set(logged[0])


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(scan, tmp_path):
    whole, parted = new_net(), new_net()
    train_network(whole, lesson_of(scan), SMALL, Course(folder=tmp_path / "whole"))
    stopped = train_network(parted, lesson_of(scan), SMALL, Course(folder=tmp_path / "parts", max_minutes=0))
    assert stopped is False
    resumed = new_net(seed=9)
    assert train_network(resumed, lesson_of(scan), SMALL, Course(folder=tmp_path / "parts", resume=True))
    for name, weight in whole.state_dict().items():
        np.testing.assert_array_equal(resumed.state_dict()[name], weight, err_msg=name)


def test_validation_goes_into_the_log(scan, tmp_path):
    course = Course(folder=tmp_path, validate_every=2, validate=lambda net: {"dice": float(net.training)})
    train_network(new_net(), lesson_of(scan), SMALL, course)
    validations = [line for line in lines(tmp_path) if "validation" in line]
    assert validations == [{"iteration": i, "validation": {"dice": 0.0}} for i in (2, 4)]


def test_other_settings_do_not_resume(scan, tmp_path):
    train_network(new_net(), lesson_of(scan), SMALL, Course(folder=tmp_path))
    with pytest.raises(ConfigError, match="other settings"):
        train_network(
            new_net(),
            lesson_of(scan),
            TrainConfig(iterations=9, n_blocks=2, n_centres=2),
            Course(folder=tmp_path, resume=True),
        )


def test_the_rate_warms_up_and_falls():
    config = TrainConfig(rate=0.1, warm_up=0.1)
    rates = [rate_at(progress, config) for progress in (0.0, 0.05, 0.1, 0.55, 0.9999)]
    np.testing.assert_allclose(rates, [0.002, 0.05, 0.1, 0.1 * (0.01 + 0.99 / 2), 0.001], rtol=1e-3)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adagrad", torch.optim.Adagrad)])
def test_the_optimizer_is_the_configured_one_and_biases_do_not_decay(name, kind):
    optimizer = make_optimizer(new_net(), TrainConfig(optimizer=name))
    assert type(optimizer) is kind
    decays = {group["weight_decay"]: {p.ndim > 1 for p in group["params"]} for group in optimizer.param_groups}
    assert decays == {5e-4: {True}, 0.0: {False}}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rate": 0.0}, "rate must be above 0"),
        ({"optimizer": "newton"}, "sgd, adagrad or adam"),
        ({"precision": "half"}, "float32 or bfloat16"),
    ],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**changed)
