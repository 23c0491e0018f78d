import numpy as np
import pytest
from scipy import ndimage

from neuronat.errors import UnusableInputError
from neuronat.measure.doubts import (
    border_doubts,
    brain_doubts,
    contrast_doubts,
    require_no_doubt,
    require_structure,
    tissue_doubts,
)
from neuronat.measure.volumes import StructureVolume


def box(shape: tuple[int, int, int], extents: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(2, 2 + extent) for extent in extents)] = True
    return mask


def test_a_brain_sized_body_raises_no_doubt():
    # 45 x 60 x 50 voxels of 3 x 2.5 x 3 mm: 135 x 150 x 150 mm, 3038 ml as a box; half of it is a brain's 1.5 l
    mask = box((50, 66, 55), (45, 60, 50))
    mask[::2] = False
    affine = np.diag([-3.0, 2.5, 3.0, 1.0])
    assert brain_doubts(mask, affine) == ()


def test_bodies_too_small_too_large_or_too_flat_are_named_with_their_numbers():
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    assert brain_doubts(box((40, 50, 60), (30, 40, 50)), affine) == (
        "brain mask of 60 ml (a brain has 500 to 2200)",
        "brain of 30 x 40 x 50 mm (a brain has 80 to 230)",
    )
    flat = brain_doubts(box((40, 200, 250), (30, 150, 240)), affine)
    assert flat == ("brain of 30 x 150 x 240 mm (a brain has 80 to 230)",)


def test_a_body_may_be_as_small_and_as_large_as_a_brain_and_no_more():
    def doubts(extents: tuple[int, int, int], n_voxels: int) -> tuple[str, ...]:
        mask = box((100, 110, 235), extents)
        mask.reshape(-1)[np.flatnonzero(mask)[n_voxels:]] = False
        mask[2, 2, 1 + extents[2]] = mask[1 + extents[0], 1 + extents[1], 2] = True  # keeps the extents
        mask.reshape(-1)[np.flatnonzero(mask)[20 : 20 + np.count_nonzero(mask) - n_voxels]] = False
        return brain_doubts(mask, np.eye(4))

    assert doubts((80, 90, 230), 500_000) == ()
    assert doubts((80, 90, 230), 499_000) == ("brain mask of 499 ml (a brain has 500 to 2200)",)
    assert doubts((79, 90, 230), 500_000) == ("brain of 79 x 90 x 230 mm (a brain has 80 to 230)",)
    assert doubts((80, 90, 231), 500_000) == ("brain of 80 x 90 x 231 mm (a brain has 80 to 230)",)


def layered(fluid: float, grey: float, white: float, step_mm: float = 1.0) -> tuple[np.ndarray, ...]:
    """A box of 52 x 56 x 60 mm: 3 mm of fluid, then 3 mm of grey, then white matter around a ventricle; some noise."""
    n = [round(extent / step_mm) for extent in (52, 56, 60)]
    mask = np.pad(np.ones(n, bool), 2)
    depth_mm = ndimage.distance_transform_edt(mask, step_mm)
    values = np.select([depth_mm <= 3, depth_mm <= 6, depth_mm <= 22], [fluid, grey, white], fluid)
    values += np.random.default_rng(3).normal(0, 0.02, values.shape)
    return values.astype(np.float32), mask, np.diag([-step_mm, step_mm, step_mm, 1])


CONTRASTS = {
    "T2": (1.0, 0.6, 0.4), "FLAIR": (0.1, 1.0, 0.85), "PD": (0.95, 1.0, 0.8), "EPI": (1.0, 0.7, 0.6),
    "CT": (0.1, 0.36, 0.3), "inverted": (0.8, 0.35, 0.0), "nothing": (0.5, 0.5, 0.5),
}  # fmt: skip


@pytest.mark.parametrize("step_mm", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("name", CONTRASTS)
def test_where_the_depth_is_not_the_brightest_it_is_no_t1(name: str, step_mm: float):
    assert contrast_doubts(*layered(*CONTRASTS[name], step_mm)) == (
        "grey values do not rise from the rim to the depth of the brain, as in a T1 they do",
    )


@pytest.mark.parametrize("step_mm", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("tissues", [(0.2, 0.65, 1.0), (0.05, 0.3, 1.0), (0.3, 0.88, 1.0), (0.6, 0.8, 1.0)])
def test_a_t1_of_any_contrast_raises_no_doubt(tissues: tuple[float, ...], step_mm: float):
    assert contrast_doubts(*layered(*tissues, step_mm)) == ()


def test_adding_a_constant_or_a_factor_changes_no_doubt():
    for tissues, expected in ((CONTRASTS["CT"], 1), ((0.2, 0.65, 1.0), 0)):
        values, mask, affine = layered(*tissues)
        assert len(contrast_doubts(1000 * values - 2000, mask, affine)) == expected


def test_a_mask_that_is_nowhere_deep_says_nothing():
    assert contrast_doubts(np.ones((9, 30, 40), np.float32), box((9, 30, 40), (5, 20, 30)), np.eye(4)) == ()


def of_tissues(fluid: float, grey: float, white: float) -> tuple[np.ndarray, np.ndarray]:
    ids = np.repeat([4, 43, 3, 42, 2, 41, 17], 600)
    return np.array([fluid, fluid, grey, grey, white, white, 0.9], np.float32).repeat(600), ids


def test_tissues_out_of_the_order_of_a_t1_are_named():
    assert tissue_doubts(*of_tissues(0.2, 0.65, 1.0)) == ()
    assert tissue_doubts(*of_tissues(0.2, 1.0, 0.9)) == (
        "as labelled, grey matter not darker than white matter, which they are in a T1",
    )
    (both,) = tissue_doubts(*of_tissues(1.0, 0.6, 0.4))
    assert both.startswith("as labelled, ventricles not darker than grey matter and grey matter not darker than white")


def test_tissues_that_are_hardly_there_are_not_looked_at():
    values, ids = of_tissues(1.0, 0.6, 0.8)
    few = (ids != 4) & (ids != 43) | (np.arange(len(ids)) % 3 == 0)
    assert np.count_nonzero(ids[few] == 4) == 200
    assert tissue_doubts(values[few], ids[few]) == ()
    assert tissue_doubts(values, ids) == (
        "as labelled, ventricles not darker than grey matter, which they are in a T1",
    )


@pytest.mark.parametrize("side", [(4, 3, 2), (43, 42, 41)])
def test_either_side_tells_of_a_tissue(side: tuple[int, int, int]):
    values, ids = np.array([1.0, 0.6, 0.8], np.float32).repeat(500), np.repeat(side, 500)
    assert tissue_doubts(values, ids) == (
        "as labelled, ventricles not darker than grey matter, which they are in a T1",
    )
    assert tissue_doubts(values[1:], ids[1:]) == (), "499 voxels of ventricle are too few"


def test_structures_at_the_border_are_named_the_first_three():
    rows = [StructureVolume(n, f"s{n}", n, float(n), "truncated" if n != 3 else "") for n in range(1, 7)]
    assert border_doubts(rows) == (
        "the field of view cuts the brain: s1, s2, s4 and 2 more truncated, volumes are of what is seen",
    )
    assert border_doubts(rows[:1]) == ("the field of view cuts the brain: s1 truncated, volumes are of what is seen",)
    assert border_doubts(rows[2:3]) == ()
    assert border_doubts(rows[:4])[0].startswith("the field of view cuts the brain: s1, s2, s4 truncated, volumes")


def test_only_the_strict_refuse_a_doubt():
    require_no_doubt(["thick slices"], strict=False)
    require_no_doubt([], strict=True)
    with pytest.raises(UnusableInputError, match=r"refused by --strict: thick slices; dark; mend the scan, or leave"):
        require_no_doubt(["thick slices", "dark"], strict=True)


def test_noise_has_no_structure_and_a_smooth_body_in_noise_has(rng):
    noise = rng.normal(100, 20, (30, 32, 34)).astype(np.float32)
    with pytest.raises(UnusableInputError, match="as unlike as those of noise"):
        require_structure(noise)
    noise[8:22, 8:24, 8:26] += 100
    require_structure(noise)
    require_structure(np.ones((4, 4, 4), np.float32))


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_scale_of_the_grey_values_makes_no_noise_and_no_head(rng, factor):
    noise = rng.normal(5, 1, (30, 32, 34)).astype(np.float32)
    body = noise.copy()
    body[8:22, 8:24, 8:26] += 5
    require_structure(body * np.float32(factor))
    with pytest.raises(UnusableInputError, match="as unlike as those of noise"):
        require_structure(noise * np.float32(factor))
