import pytest

from neuronat.pipeline.finetune_settings import FinetuneConfig, fixed_iterations, phases_of, with_iterations

CASCADE, WHOLE = ("foreground", "structures"), ("whole",)


@pytest.mark.parametrize(
    ("stages", "has_fresh", "change", "expected"),
    [
        (WHOLE, False, {}, {"whole-all": 1.0}),
        (WHOLE, True, {}, {"whole-heads": 0.3, "whole-all": 0.7}),
        (WHOLE, True, {"heads_only": True}, {"whole-heads": 1.0}),
        (WHOLE, True, {"from_scratch": True}, {"whole-all": 1.0}),
        (CASCADE, False, {}, {"foreground-all": 0.2, "structures-all": 0.8}),
        (("structures",), True, {}, {"structures-heads": 0.3, "structures-all": 0.7}),
    ],
)
def test_the_phases_and_their_shares(stages, has_fresh, change, expected):
    phases = phases_of(stages, FinetuneConfig(**change), has_fresh=has_fresh)
    assert {phase.name: pytest.approx(phase.share) for phase in phases} == expected


def test_fresh_heads_of_a_cascade_learn_alone_before_each_stage():
    phases = phases_of(CASCADE, FinetuneConfig(), has_fresh=True)
    assert [p.name for p in phases] == ["foreground-heads", "foreground-all", "structures-heads", "structures-all"]
    assert fixed_iterations(phases, 1000) == dict(zip([p.name for p in phases], (60, 140, 240, 560), strict=True))
    assert fixed_iterations(phases, 1) == {p.name: 1 for p in phases}


def test_everything_learns_at_a_lower_rate_but_not_from_scratch():
    for stages, optimizer, full, lower in ((WHOLE, "adam", 0.004, 0.003), (("structures",), "sgd", 0.02, 0.005)):
        heads, everything = phases_of(stages, FinetuneConfig(), has_fresh=True)
        (scratch,) = phases_of(stages, FinetuneConfig(from_scratch=True), has_fresh=True)
        assert [p.config.rate for p in (heads, everything, scratch)] == [full, lower, full]
        assert [p.config.freeze_norms_from for p in (heads, everything, scratch)] == [0, 0, 0.75]
        assert {p.config.optimizer for p in (heads, everything, scratch)} == {optimizer}


def test_the_average_spans_a_tenth_of_a_phase_and_a_hundred_steps_at_most():
    phases = phases_of(WHOLE, FinetuneConfig(), has_fresh=True)
    short, long = with_iterations(phases, {"whole-heads": 40, "whole-all": 5000})
    assert (short.config.iterations, short.config.averaging) == (40, 0.75)
    assert (long.config.iterations, long.config.averaging) == (5000, 0.99)
    (tiny, _) = with_iterations(phases, {"whole-heads": 3, "whole-all": 3})
    assert tiny.config.averaging == 0


@pytest.mark.parametrize(
    ("stages", "change", "has_fresh", "expected"),
    [
        (WHOLE, {}, False, [0.0]),
        (WHOLE, {}, True, [0.67, 0.67]),
        (WHOLE, {"heads_only": True}, True, [0.67]),
        (WHOLE, {"from_scratch": True}, False, [1.0]),
        (WHOLE, {"from_scratch": True}, True, [1.0]),
        (CASCADE, {}, False, [1.0, 1.0]),
        (("structures",), {}, True, [1.0, 1.0]),
    ],
)
def test_draws_are_balanced_where_something_starts_from_chance_and_in_patches(stages, change, has_fresh, expected):
    phases = phases_of(stages, FinetuneConfig(**change), has_fresh=has_fresh)
    assert [phase.config.balanced_until for phase in phases] == expected
