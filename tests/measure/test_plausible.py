import numpy as np
import pytest

from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.confidence import judge_certainty
from neuronat.measure.plausible import (
    Finding,
    adult_ranges_ml,
    judge_labels,
    judge_shapes,
    judge_sides,
    judge_volumes,
    verdict_of,
)
from neuronat.measure.volumes import NOT_FOUND, TRUNCATED, StructureVolume
from neuronat.space.volume import LabelMap

SCHEME = load_scheme("deepnat25")
# stored as L, P, S with 2 x 3 x 2.5 mm
AFFINE = np.array([[-2.0, 0, 0, 60], [0, -3.0, 0, 70], [0, 0, 2.5, -50], [0, 0, 0, 1]])
TYPICAL_ML = {
    2: 220, 3: 280, 4: 9, 7: 15, 8: 54, 10: 7.5, 11: 3.5, 12: 4.8, 13: 1.5, 14: 0.9, 15: 1.9, 16: 20, 17: 3.9, 18: 1.5,
}  # fmt: skip


def volumes(**changed_ml: float | None) -> tuple[StructureVolume, ...]:
    """An ordinary adult; change structures by `id_17=...`, None for not found, below 0 for truncated."""
    rows = []
    for index, name, partner in zip(SCHEME.ids[1:], SCHEME.names[1:], SCHEME.partners[1:], strict=True):
        ml = changed_ml.get(f"id_{index}", TYPICAL_ML[min(index, partner)])
        if ml is None:
            rows.append(StructureVolume(index, name, None, None, NOT_FOUND))
        else:
            reason = TRUNCATED if ml < 0 else ""
            rows.append(StructureVolume(index, name, int(abs(ml) * 1000), abs(ml) * 1000.0, reason))
    return tuple(rows)


def said(findings) -> list[tuple[str, str]]:
    return [(finding.level, finding.reason) for finding in findings]


def test_an_ordinary_adult_passes():
    assert judge_volumes(volumes()) == ()
    assert verdict_of(()) == "pass"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"id_17": None}, [("review", "no voxel of Left-Hippocampus")]),
        ({"id_17": 0.9, "id_53": 0.9}, [
            ("review", "Left-Hippocampus of 0.9 ml (adults 1 to 7.4)"),
            ("review", "Right-Hippocampus of 0.9 ml (adults 1 to 7.4)"),
        ]),
        ({"id_17": 2.0}, [("review", "Left-Hippocampus has 0.51 times the volume of the right one")]),
        ({"id_10": 12.5}, [("review", "Left-Thalamus has 1.67 times the volume of the right one")]),
        ({"id_17": -0.2, "id_53": 0.25}, [
            ("review", "cut by the border of the image, so that volumes are lower bounds: Left-Hippocampus"),
            ("review", "Right-Hippocampus of 0.25 ml (adults 1 to 7.4)"),
        ]),
        # one ventricle four times the other is nothing to fail for, nor is a very large pair
        ({"id_4": 30.0}, []),
        ({"id_4": 45.0}, [("review", "Left-Lateral-Ventricle has 5.00 times the volume of the right one")]),
        ({"id_4": 150.0, "id_43": 160.0}, [
            ("review", "Left-Lateral-Ventricle of 150 ml (adults 1.6 to 68)"),
            ("review", "Right-Lateral-Ventricle of 160 ml (adults 1.6 to 68)"),
        ]),
        ({"id_2": 110, "id_41": 110, "id_3": 160, "id_42": 160}, [
            ("review", "brain tissue of 743 ml (adults 800 to 1800)"),
        ]),
    ],
)  # fmt: skip
def test_what_is_unusual_is_named_with_its_numbers(changed, expected):
    assert said(judge_volumes(volumes(**changed))) == expected


def test_a_quarter_missing_fails_but_not_less():
    six = {f"id_{index}": None for index in (10, 11, 12, 13, 17, 18)}
    assert verdict_of(judge_volumes(volumes(**six))) == "review"
    assert verdict_of(judge_volumes(volumes(**six, id_49=None))) == "fail"


def test_tissue_of_no_human_brain_fails():
    tiny = {f"id_{row.index}": row.volume_mm3 / 3000 for row in volumes()}
    findings = judge_volumes(volumes(**tiny))
    assert said(findings)[:2] == [
        ("fail", "brain tissue of 401 ml (adults 800 to 1800)"),
        ("fail", "17 of 25 structures are outside the range of adults"),
    ]


def test_every_structure_has_a_range_that_is_the_same_on_both_sides():
    ranges = adult_ranges_ml()
    assert list(ranges) == list(SCHEME.ids[1:])
    for index, partner in zip(SCHEME.ids[1:], SCHEME.partners[1:], strict=True):
        assert 0 < ranges[index][0] < ranges[index][1]
        assert ranges[index] == ranges[partner]
        assert ranges[index][0] < TYPICAL_ML[min(index, partner)] < ranges[index][1]


def boxes(*placed: tuple[int, tuple[slice, slice, slice]], shape=(30, 22, 26)) -> LabelMap:
    ids = np.zeros(shape, np.int32)
    for index, box in placed:
        ids[box] = index
    return LabelMap(ids, AFFINE, SCHEME)


def at(i: int, j: int, k: int) -> tuple[slice, slice, slice]:
    """A block of 4 x 3 x 5 voxels."""
    return slice(i, i + 4), slice(j, j + 3), slice(k, k + 5)


def test_left_is_where_x_is_smaller():
    # i grows to the left here
    right = [(49, at(3, 5, 5)), (50, at(3, 12, 5)), (42, (slice(2, 8), slice(0, 3), slice(0, 20)))]
    left = [(10, at(20, 5, 5)), (11, at(20, 12, 5)), (3, (slice(18, 24), slice(0, 3), slice(0, 20)))]
    assert judge_sides(boxes(*left, *right)) == ()
    swapped = boxes(*[(SCHEME.partners[SCHEME.ids.index(index)], box) for index, box in [*left, *right]])
    assert said(judge_sides(swapped)) == [("fail", "left and right are exchanged")]
    one = boxes((10, at(3, 5, 5)), (49, at(20, 5, 5)), *left[1:], *right[1:])
    assert judge_sides(one) == (Finding("review", "Left-Thalamus lies to the right of Right-Thalamus", 10),)
    assert judge_sides(boxes((16, at(3, 5, 5)), (10, at(9, 5, 5)))) == ()


def test_turned_voxels_do_not_change_the_sides():
    labels = boxes((10, at(20, 5, 5)), (49, at(3, 5, 5)))
    turned = LabelMap(labels.ids.transpose(2, 0, 1), AFFINE[:, [2, 0, 1, 3]], SCHEME)
    assert judge_sides(turned) == ()
    assert judge_sides(LabelMap(turned.ids[:, ::-1], turned.affine, SCHEME))[0].level == "fail"


def test_places_of_labels_are_judged():
    whole = (slice(2, 28), slice(2, 20), slice(2, 24))
    mask = np.zeros((30, 22, 26), bool)
    mask[whole] = True
    filled = boxes((2, whole), (4, at(10, 8, 8)))
    assert judge_shapes(filled, mask) == ()
    # 60 voxels of 15 mm3 are 0.9 ml, two blocks 1.8 ml
    assert judge_shapes(boxes((2, whole), (4, at(10, 8, 8)), (17, at(4, 4, 4)), (17, at(18, 4, 4))), mask) == ()
    loose = boxes((2, whole), (17, at(4, 4, 4)), (17, at(18, 4, 4)), (17, at(18, 12, 12)))
    assert judge_shapes(loose, mask) == (Finding("review", "Left-Hippocampus: 1.8 ml in loose pieces", 17),)
    touching = boxes((2, whole), (4, at(2, 8, 8)))
    assert said(judge_shapes(touching, mask)) == [("review", "lateral ventricles reach the surface of the brain mask")]
    smaller = mask.copy()
    smaller[2:5] = False
    assert said(judge_shapes(filled, smaller)) == [("review", "18 ml of labels outside the brain mask")]
    half = (slice(2, 15), slice(2, 20), slice(2, 24))
    assert said(judge_shapes(boxes((2, half)), mask)) == [("review", "only 50% of the brain mask carries a label")]
    third = (slice(2, 11), slice(2, 20), slice(2, 24))
    assert said(judge_shapes(boxes((2, third)), mask)) == [("fail", "only 35% of the brain mask carries a label")]


def test_pieces_that_touch_by_a_corner_are_one():
    whole = (slice(2, 28), slice(2, 20), slice(2, 24))
    mask = np.zeros((30, 22, 26), bool)
    mask[whole] = True
    chain = [(17, at(4 + 4 * n, 4 + 3 * n, 4 + 5 * n)) for n in range(3)]
    assert judge_shapes(boxes((2, whole), *chain), mask) == ()


@pytest.mark.parametrize(
    ("tissue_ml", "expected"),
    [
        (799.4, ["brain tissue of 799 ml (adults 800 to 1800)"]),
        *[(800.4, []), (1799.6, [])],
        (1800.6, ["brain tissue of 1801 ml (adults 800 to 1800)"]),
    ],
)
def test_tissue_is_ordinary_to_the_last_millilitre(tissue_ml: float, expected: list[str]):
    usual_ml = sum(row.volume_mm3 for row in volumes() if row.index not in (4, 14, 15, 43)) / 1000
    white_ml = 220 + (tissue_ml - usual_ml) / 2
    findings = judge_volumes(volumes(id_2=white_ml, id_41=white_ml))
    assert [reason for _, reason in said(findings) if "tissue" in reason] == expected


@pytest.mark.parametrize("ventricle", [4, 14, 15, 43])
def test_ventricles_are_no_tissue(ventricle: int):
    findings = judge_volumes(volumes(**{f"id_{ventricle}": 1000.0}))
    assert not [reason for _, reason in said(findings) if "tissue" in reason]


def test_more_than_half_outside_the_range_fails_but_not_half():
    # pairs, so that nothing is unequal: 6 pairs are 12 of 25 structures, with the brain stem 13
    pairs = {f"id_{index}": 0.01 for index in (10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54)}
    assert verdict_of(judge_volumes(volumes(**pairs))) == "review"
    findings = judge_volumes(volumes(**pairs, id_16=0.01))
    assert ("fail", "13 of 25 structures are outside the range of adults") in said(findings)


def test_a_millilitre_is_not_yet_loose_nor_outside():
    # of voxels of 1 mm3; the loose block has 1000 of them
    ids = np.zeros((44, 30, 26), np.int32)
    ids[:20], ids[30:40, :10, :10] = 2, 2
    mask = np.ones(ids.shape, bool)
    mask[30:] = False
    labels = LabelMap(ids, np.diag([-1.0, 1.0, 1.0, 1.0]), SCHEME)
    assert judge_shapes(labels, mask) == ()
    ids[40, 0, 0] = 2
    assert judge_shapes(labels, mask) == (
        Finding("review", "1 ml of labels outside the brain mask"),
        Finding("review", "Left-Cerebral-White-Matter: 1.0 ml in loose pieces", 2),
    )


def test_three_fifths_of_the_brain_are_usually_labelled():
    mask = np.ones((10, 12, 14), bool)
    ids = np.zeros(mask.shape, np.int32)
    ids[:6] = 2
    assert judge_shapes(LabelMap(ids, AFFINE, SCHEME), mask) == ()
    ids[5, 0, :10] = 0
    assert said(judge_shapes(LabelMap(ids, AFFINE, SCHEME), mask)) == [
        ("review", "only 59% of the brain mask carries a label")
    ]


def test_a_ventricle_may_touch_the_surface_with_a_hundredth():
    whole = (slice(2, 28), slice(2, 20), slice(2, 24))
    mask = np.zeros((30, 22, 26), bool)
    mask[whole] = True
    inner = (4, (slice(10, 20), slice(5, 15), slice(5, 14)))  # 900 voxels, none at the surface
    nine = (4, (slice(3, 12), slice(10, 11), slice(2, 3)))
    assert judge_shapes(boxes((2, whole), inner, nine), mask) == ()
    ten = (4, (slice(3, 13), slice(10, 11), slice(2, 3)))
    touching = judge_shapes(boxes((2, whole), inner, ten), mask)
    assert said(touching) == [("review", "lateral ventricles reach the surface of the brain mask")]


def test_what_lies_in_the_first_and_last_voxels_of_the_image_is_judged():
    ids = np.full((30, 22, 26), 2, np.int32)
    mask = np.ones(ids.shape, bool)
    for plane in (0, -1):
        outside = mask.copy()
        outside[plane] = False  # 22 x 26 voxels of 15 mm3 are 8.6 ml
        findings = said(judge_labels(LabelMap(ids, AFFINE, SCHEME), outside))
        assert ("review", "9 ml of labels outside the brain mask") in findings


def test_judging_changes_nothing():
    labels = boxes((2, (slice(12, 20), slice(9, 15), slice(10, 20))))
    ids, affine = labels.ids.copy(), labels.affine.copy()
    before = LabelMap(ids, affine, SCHEME)
    judge_labels(before, ids > 0)
    np.testing.assert_array_equal(before.affine, AFFINE)
    np.testing.assert_array_equal(before.ids, labels.ids)


def test_unsure_networks_are_looked_at():
    rows = np.full(100, 0.9, np.float32)
    rows[:20] = 0.4
    assert judge_certainty(rows) == ()
    rows[20] = 0.49
    assert said(judge_certainty(rows)) == [("review", "no label is likely in 21% of the brain")]
    assert judge_certainty(np.zeros(0, np.float32)) == ()


def test_a_fine_scheme_is_judged_by_the_structures_it_maps_to():
    fine = load_scheme("neuromorphometrics")
    ids = np.zeros((30, 22, 26), np.int32)
    ids[5:25, 5:18, 5:20] = 44
    ids[15:25, 5:18, 5:20] = 45
    ids[6:9, 6:9, 6:9] = 117
    findings = said(judge_labels(LabelMap(ids, AFFINE, fine), ids > 0))
    assert findings[0][0] == "fail"
    assert "Left-Thalamus" in findings[0][1]
    assert "Left-Cerebral-White-Matter" not in findings[0][1]
    assert findings[-1] == ("review", "Left Ent entorhinal area is there, but nothing on the other side")


def test_a_finding_about_a_structure_bears_the_id_of_the_schemes_own():
    fine = load_scheme("neuromorphometrics")  # 57 is its right putamen, and 51, that of the 25, its right ventricle
    ids = np.zeros((30, 22, 26), np.int32)
    ids[4:7, 4:8, 4:8] = 57
    ids[20:23, 4:8, 4:8] = 58
    ids[6:10, 14:18, 14:18] = 103
    findings = judge_labels(LabelMap(ids, AFFINE, fine), ids > 0)
    about = {finding.reason.split(" of ")[0]: finding.index for finding in findings if " ml (adults " in finding.reason}
    assert about["Right-Putamen"] == 57
    assert about["Left-Putamen"] == 58
    assert about["Left-Cerebral-Cortex"] is None, "many gyri mean it"


def test_volumes_of_coarse_voxels_are_judged_where_they_are_counted():
    ids = np.zeros((4, 4, 4), np.int32)
    ids[1:3, 1:3, 1:3] = 10
    fine = np.zeros((20, 20, 20), np.int32)
    fine[5:15, 5:15, 5:10] = 10
    scheme = load_scheme("deepnat25")
    coarse, counted = LabelMap(ids, np.diag([5.0, 5, 5, 1]), scheme), LabelMap(fine, np.eye(4), scheme)
    assert "Left-Thalamus of 1 ml (adults" in said(judge_labels(coarse, ids > 0))[-1][1]
    (named,) = [reason for _, reason in said(judge_labels(coarse, ids > 0, counted)) if "Left-Thalamus of" in reason]
    assert named.startswith("Left-Thalamus of 0.5 ml (adults")


def test_nobody_misses_what_was_not_taught():
    ids = np.zeros((30, 22, 26), np.int32)
    ids[5:15, 5:15, 5:12] = 17
    ids[15:25, 5:15, 5:12] = 53
    labels, mask = LabelMap(ids, np.diag([-1.5, 1.5, 1.5, 1.0]), SCHEME), np.ones(ids.shape, bool)
    reasons = [reason for _, reason in said(judge_labels(labels, mask))]
    assert any("no voxel of Left-Cerebral-White-Matter" in reason for reason in reasons)
    assert any("brain tissue of" in reason for reason in reasons)
    assert any("of the brain mask carries a label" in reason for reason in reasons)
    assert judge_labels(labels, mask, None, tuple(i for i in SCHEME.ids if i not in (0, 17, 53))) == (
        Finding("fail", "left and right are exchanged"),
    )
    one = np.where(ids == 53, 0, ids)
    untaught = tuple(i for i in SCHEME.ids if i not in (0, 17, 53))
    (finding,) = judge_labels(LabelMap(one, labels.affine, SCHEME), mask, None, untaught)
    assert (finding.level, finding.reason) == ("fail", "no voxel of Right-Hippocampus"), (
        "one of the two that were taught"
    )


def test_a_scheme_of_its_own_is_judged_by_its_pairs_alone():
    own = LabelScheme("own", (0, 1, 2, 3), ("none", "Left-A", "Right-A", "B"), ("#000000",) * 4, (0, 2, 1, 3))
    ids = np.zeros((4, 5, 6), np.int16)
    assert said(judge_labels(LabelMap(ids, AFFINE, own), ids == 0)) == [("fail", "no voxel carries a label")]
    ids[1:3, 1:3, 1:3] = 3
    assert judge_labels(LabelMap(ids, AFFINE, own), ids == 0) == ()
    ids[0, 0, 0] = 2
    assert judge_labels(LabelMap(ids, AFFINE, own), ids == 0) == ()
    ids[0:2, 0:2, 0:2] = 2  # 8 voxels of 15 mm3
    assert judge_labels(LabelMap(ids, AFFINE, own), ids == 0) == (
        Finding("review", "Right-A is there, but nothing on the other side", 2),
    )
    assert judge_labels(LabelMap(ids, AFFINE, own), ids == 0, None, (1,)) == (), "the left one was not taught"


def test_a_phantom_is_no_adult(phantom):
    _, labels, mask = phantom
    findings = said(judge_labels(labels, mask))
    assert findings[0] == ("fail", "brain tissue of 34 ml (adults 800 to 1800)")
    assert not [reason for _, reason in findings if "exchanged" in reason or "no voxel" in reason]
