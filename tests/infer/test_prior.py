from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from neuronat.infer.prior import Prior, fit_affine, place_mirrored, place_template, prior_scores
from neuronat.labels.scheme import load_scheme
from neuronat.nets.template import Template
from neuronat.phantom import make_phantom


@pytest.fixture
def known():
    """A phantom's grey values, mask and classes, and the template that it is."""
    volume, labels, mask = make_phantom((56, 64, 60), noise=0.0, bias=0.0)
    grey = np.where(mask, volume.values / volume.values.max(), 0).astype(np.float32)
    classes = np.where(mask, load_scheme("deepnat25").classes_of(labels.ids), 0).astype(np.uint8)
    rows = np.stack([classes[mask], np.zeros(np.count_nonzero(mask), np.uint8)], 1)
    shares = np.tile(np.array([255, 0], np.uint8), (len(rows), 1))
    return grey, mask, classes, Template(grey, mask, rows, shares)


def test_a_template_says_what_lies_where_in_a_turned_and_larger_brain(known):
    grey, _, classes, template = known
    angle = np.deg2rad(8)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]) / 1.08
    offset = np.array(grey.shape) / 2 - turn @ np.array(grey.shape) / 2
    seen = ndimage.affine_transform(grey, turn, offset, order=1)
    truth = ndimage.affine_transform(classes, turn, offset, order=0)
    mask = truth > 0
    found, shares = place_template(template, seen, mask, truth[mask])
    assert found.shape == shares.shape == (np.count_nonzero(mask), 2)
    assert np.mean(found[:, 0] == truth[mask]) > 0.93
    straight = classes[mask]
    assert np.mean(straight == truth[mask]) < 0.8


def test_beyond_the_template_nothing_is_known(known):
    grey, mask, classes, template = known
    less = template.inside.copy()
    less[:, :20] = False
    kept = less[template.inside]
    smaller = replace(template, inside=less, classes=template.classes[kept], shares=template.shares[kept])
    _, shares = place_template(smaller, grey, mask, classes[mask])
    assert not shares[np.argwhere(mask)[:, 1] < 17].any()


def test_a_template_of_something_else_is_not_heard(known, rng):
    grey, mask, classes, template = known
    assert (
        place_template(replace(template, grey=rng.random(grey.shape, dtype=np.float32)), grey, mask, classes[mask])
        is None
    )
    assert place_template(replace(template, grey=np.zeros_like(grey)), grey, mask, classes[mask]) is None


def test_with_too_few_structures_nobody_knows_where_to_begin(known):
    grey, mask, classes, template = known
    few = np.where(classes[mask] < 5, classes[mask], 0).astype(np.uint8)
    assert place_template(template, grey, mask, few) is None
    assert fit_affine(np.zeros((0, 3), int), np.zeros(0, np.uint8), np.argwhere(mask), classes[mask]) is None


def test_fifty_voxels_of_eight_structures_are_enough_and_background_has_no_place(rng):
    turn = np.array([[2.0, 0, 0], [0.5, 1, 0], [0, 0, 3], [4, 5, 6]])

    def fitted(n_voxels: int, n_classes: int) -> np.ndarray | None:
        centres = rng.integers(0, 40, (n_classes, 3)).astype(float)
        voxels = np.repeat(centres, n_voxels, 0)
        classes = np.repeat(np.arange(1, n_classes + 1), n_voxels).astype(np.uint8)
        nowhere = np.full((500, 3), 39.0)  # background of the other brain, which lies elsewhere
        others = np.concatenate([np.column_stack([voxels, np.ones(len(voxels))]) @ turn, -nowhere])
        none = np.zeros(500, np.uint8)
        return fit_affine(np.concatenate([voxels, nowhere]), np.append(classes, none), others, np.append(classes, none))

    np.testing.assert_allclose(fitted(50, 8), turn, atol=1e-9)
    assert fitted(49, 8) is None
    assert fitted(50, 7) is None


def test_structures_in_one_plane_give_no_affine_map():
    voxels = np.array([[5, j, k] for j in range(30) for k in range(30)])
    classes = (voxels[:, 1] // 6 * 5 + voxels[:, 2] // 6 + 1).astype(np.uint8)
    repeated, same = np.repeat(voxels, 2, 0), np.repeat(classes, 2)
    assert fit_affine(repeated, same, repeated, same) is None


def test_scores_of_a_prior_are_weighed_logarithms_and_padding_counts_for_nothing():
    prior = Prior(
        np.array([[0, 2, 0], [1, 0, 0]], np.uint8), np.array([[255, 51, 0], [255, 0, 0]], np.uint8), 2.0, 2.0, 4
    )
    expected = 2 * np.log(np.array([[1, 0, 0.2, 0], [0, 1, 0, 0]]) + 3e-3)
    found = prior_scores(prior, slice(0, 2), slice(0, 4)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)  # float32 logarithms
    np.testing.assert_array_equal(prior_scores(prior, slice(1, 2), slice(1, 3)).numpy(), found[1:2, 1:3])


def test_of_two_looks_the_mean_share_counts():
    classes, shares = np.array([[1, 2, 1, 3]], np.uint8), np.array([[204, 51, 102, 153]], np.uint8)
    found = prior_scores(Prior(classes, shares, 1.0, 1.0, 4, 2), slice(0, 1), slice(0, 4)).numpy()
    np.testing.assert_allclose(np.exp(found) - 3e-3, [[0, 0.6, 0.1, 0.3]], atol=1e-6)  # float32 logarithms


def test_a_look_at_the_mirror_image_knows_left_from_right(known):
    grey, mask, classes, template = known
    partners = np.arange(256, dtype=np.uint8)
    partners[:26] = load_scheme("deepnat25").mirrored_classes
    crooked = np.ascontiguousarray(np.roll(grey, 2, axis=0)), np.roll(mask, 2, axis=0), np.roll(classes, 2, axis=0)
    seen, where, truth = crooked[0], crooked[1], crooked[2][crooked[1]]
    straight = place_template(template, seen, where, truth)
    mirrored = place_mirrored(template, seen, where, truth, partners)
    assert [part.shape for part in mirrored] == [part.shape for part in straight]
    assert np.mean(mirrored[0][:, 0] == truth) > 0.9  # the phantom's halves are nearly, not quite, mirror images
    assert np.mean(partners[mirrored[0][:, 0]] == truth) < 0.3
    assert place_mirrored(template, np.zeros_like(seen), where, truth, partners) is None
