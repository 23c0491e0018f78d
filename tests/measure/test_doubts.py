import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.measure.doubts import border_doubts, brain_doubts, contrast_doubts, require_no_doubt
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


def layered(rim: float, deep: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box of 30 x 34 x 38 mm whose outermost 3 mm have one value, the rest another."""
    mask = box((34, 38, 42), (30, 34, 38))
    values = np.where(mask, rim, 0).astype(np.float32)
    values[5:29, 5:33, 5:37] = deep
    return values, mask, np.eye(4)


def test_a_rim_brighter_than_the_depth_is_no_t1():
    assert contrast_doubts(*layered(0.6, 0.9)) == ()
    assert contrast_doubts(*layered(0.9, 0.6)) == (
        "grey values do not fall from the depth to the rim of the brain, as in a T1 they do",
    )


def test_noise_without_any_order_is_no_t1():
    assert contrast_doubts(*layered(0.8, 0.9)) == ()
    assert len(contrast_doubts(*layered(0.82, 0.9))) == 1


def test_structures_at_the_border_are_named_the_first_three():
    rows = [StructureVolume(n, f"s{n}", n, float(n), "truncated" if n != 3 else "") for n in range(1, 7)]
    assert border_doubts(rows) == (
        "the field of view cuts the brain: s1, s2, s4 and 2 more truncated, volumes are of what is seen",
    )
    assert border_doubts(rows[:1]) == ("the field of view cuts the brain: s1 truncated, volumes are of what is seen",)
    assert border_doubts(rows[2:3]) == ()


def test_only_the_strict_refuse_a_doubt():
    require_no_doubt(["thick slices"], strict=False)
    require_no_doubt([], strict=True)
    with pytest.raises(UnusableInputError, match=r"refused by --strict: thick slices; dark; mend the scan, or leave"):
        require_no_doubt(["thick slices", "dark"], strict=True)
