from dataclasses import replace

import numpy as np
import pytest
import torch

from neuronat.coords.spectral import brain_coordinates
from neuronat.errors import ModelError
from neuronat.infer.protocols import class_probabilities, merged_probabilities
from neuronat.infer.tiles import ScaleFeatures
from neuronat.labels.scheme import load_scheme
from neuronat.nets.card import TemplateSpec
from neuronat.nets.store import Model
from neuronat.nets.template import Template
from neuronat.pipeline.answers import (
    answer_patchwise,
    answer_protocols,
    answer_refined,
    answer_whole,
)
from neuronat.pipeline.networks import Networks
from neuronat.pipeline.scene import Encoded, Scene, encode_scene, with_template
from neuronat.pipeline.settings import SegmentConfig, no_progress
from neuronat.prepare.scan import prepare_scan

CPU = torch.device("cpu")


@pytest.fixture
def scene(phantom) -> Scene:
    volume, _, mask = phantom
    prepared = prepare_scan(volume, mask)
    config = SegmentConfig(has_crf=False, keeps_islands=True)
    return Scene(prepared, brain_coordinates(prepared.mask, prepared.affine), CPU, config)


def rows_of(answer):
    return np.stack(list(answer.channels()), 1)


def one_to_one(monkeypatch):
    """Take the template to lie on the scan already."""
    monkeypatch.setattr("neuronat.infer.prior.fit_affine", lambda *_: np.vstack([np.eye(3), np.zeros(3)]))


@pytest.mark.parametrize("n_coordinates", [0, 6])
@pytest.mark.parametrize("effort", ["usual", "fast"])
def test_every_voxel_of_the_mask_gets_its_most_probable_class(scene, make_whole, n_coordinates, effort):
    scene = replace(scene, config=SegmentConfig(effort=effort))
    encoded = encode_scene(make_whole(n_coordinates=n_coordinates), scene, no_progress)
    answer = answer_whole(load_scheme("tissue"), encoded, {})
    rows = rows_of(answer)
    assert rows.shape == (np.count_nonzero(scene.brain.mask), 4)
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-5)  # float32 exponentials
    np.testing.assert_array_equal(rows[np.arange(len(rows)), answer.classes], rows.max(1))
    np.testing.assert_allclose(answer.masses, rows.sum(0, np.float64), rtol=1e-5)  # float32 exponentials


def test_the_mirror_image_is_seen_unless_it_shall_go_fast(scene, make_whole):
    model = make_whole(n_coordinates=6)
    usual, fast = (
        answer_whole(
            load_scheme("tissue"),
            encode_scene(model, replace(scene, config=SegmentConfig(effort=effort)), no_progress),
            {},
        )
        for effort in ("usual", "fast")
    )
    assert np.abs(rows_of(usual) - rows_of(fast)).max() > 1e-4


def test_a_patchwise_model_cannot_label_whole_scans(untrained_model, scene):
    with pytest.raises(ModelError, match="labels patch by patch"):
        encode_scene(untrained_model, scene, no_progress)


@pytest.mark.usefixtures("swift_pipeline")
@pytest.mark.parametrize("n_others", [1, 2])
def test_opinions_count_for_a_fifth(untrained_model, scene, rng, monkeypatch, n_others):
    alone = rows_of(answer_patchwise(untrained_model, scene, no_progress))
    others = rng.dirichlet(np.ones(26), (n_others, len(alone))).astype(np.float32)
    heard = iter(others.copy())
    monkeypatch.setattr("neuronat.pipeline.scene.class_probabilities", lambda *_: next(heard))
    both = answer_patchwise(
        untrained_model, scene, no_progress, [Encoded(None, {}, ScaleFeatures((), None))] * n_others
    )
    np.testing.assert_allclose(rows_of(both), 0.8 * alone + 0.2 * others.mean(0), atol=1e-6)  # float32 sums
    np.testing.assert_array_equal(both.classes, rows_of(both).argmax(1))


def test_the_best_way_gives_left_and_right_back(untrained_model, scene, monkeypatch):
    seen = []

    def left_is_left(_networks, intensities, coordinates, mask, *_rest):
        """Call what lies left of the middle the left, and the rest the right white matter."""
        seen.append((intensities, coordinates, mask))
        rows = np.zeros((np.count_nonzero(mask), 26), np.float32)
        is_left = coordinates[3][mask] < 0
        scheme = load_scheme("deepnat25")
        rows[is_left, scheme.ids.index(2)] = rows[~is_left, scheme.ids.index(41)] = 1
        return rows

    monkeypatch.setattr("neuronat.pipeline.answers.brain_probabilities", left_is_left)
    best = replace(scene, config=replace(scene.config, effort="best"))
    usual, twice = (answer_patchwise(untrained_model, s, no_progress) for s in (scene, best))
    (_, _, (grey, coordinates, mask)) = seen
    np.testing.assert_array_equal(mask, scene.brain.mask[::-1])
    np.testing.assert_array_equal(grey[::-1], scene.brain.intensities)
    np.testing.assert_allclose(coordinates[:3, ::-1][1:], scene.coordinates[1:3])
    np.testing.assert_allclose(coordinates[[0, 3], ::-1], -scene.coordinates[[0, 3]])
    is_clear = scene.coordinates[3][scene.brain.mask] != 0
    np.testing.assert_array_equal(twice.classes[is_clear], usual.classes[is_clear])


@pytest.mark.usefixtures("swift_pipeline")
def test_a_deepnat_hears_what_networks_of_whole_scans_say(untrained_model, scene, make_whole):
    whole = make_whole("deepnat25", "tissue", n_coordinates=6)
    networks = Networks({"deepnat25": untrained_model, "tissue": whole}, CPU, (untrained_model, whole))
    found = answer_protocols(scene.brain, networks, scene.config, no_progress)
    alone = rows_of(answer_patchwise(untrained_model, scene, no_progress))
    encoded = encode_scene(whole, scene, no_progress)
    opinion = class_probabilities(encoded.net, encoded.features, "deepnat25")
    np.testing.assert_allclose(rows_of(found["deepnat25"]), 0.8 * alone + 0.2 * opinion, atol=1e-6)  # float32 sums
    assert list(found) == ["deepnat25", "tissue"]


@pytest.fixture
def informed(make_whole, scene) -> Model:
    """A model of whole scans whose template is the scene itself, with its tissues stretched to fine classes."""
    model = make_whole("deepnat25", "neuromorphometrics", n_coordinates=6)
    grey, mask = scene.brain.intensities, scene.brain.mask
    rng = np.random.default_rng(5)
    classes = rng.integers(1, 139, (np.count_nonzero(mask), 2)).astype(np.uint8)
    template = Template(grey, mask, classes, np.tile(np.array([200, 40], np.uint8), (len(classes), 1)))
    spec = TemplateSpec(n_scans=1, weight=1.5)
    return replace(model, card=replace(model.card, template={"neuromorphometrics": spec}), template=template)


def test_a_template_that_fits_has_a_say_in_fine_and_coarse_labels(informed, scene, monkeypatch):
    guess = informed.template.classes[:, 0]
    one_to_one(monkeypatch)
    monkeypatch.setattr("neuronat.pipeline.answers.INFORMED_OPINIONS", 1.0)
    # one look: its classes are drawn, so left and right of this template are no mirror images
    scene = replace(scene, config=replace(scene.config, effort="fast"))
    plain = encode_scene(informed, scene, no_progress)
    encoded = with_template(plain, informed, scene, no_progress)
    fine = informed.schemes["neuromorphometrics"]
    assert np.mean(answer_whole(fine, encoded, {}).classes == guess) > 0.95  # the deformation is nearly nothing
    assert np.mean(answer_whole(fine, plain, {}).classes == guess) < 0.1
    coarse = load_scheme("deepnat25")
    groups = coarse.classes_of(fine.mapped_ids(np.array(fine.ids), "deepnat25"))
    answer = answer_refined(informed, "deepnat25", encoded, scene, no_progress)
    merged = merged_probabilities(encoded.net, encoded.features, "neuromorphometrics", groups, n_groups=26)
    own = class_probabilities(encoded.net, encoded.features, "deepnat25")
    np.testing.assert_allclose(rows_of(answer), 0.6 * merged + 0.4 * own, atol=1e-6)  # float32 sums
    assert np.mean(answer.classes == groups[guess]) > 0.95
    assert answer.is_informed
    assert answer_whole(fine, encoded, {}).is_informed
    assert not answer_whole(fine, plain, {}).is_informed


@pytest.mark.usefixtures("swift_pipeline")
def test_opinions_with_a_template_weigh_as_much_as_a_deepnat(untrained_model, informed, scene, monkeypatch):
    one_to_one(monkeypatch)
    networks = Networks({"deepnat25": untrained_model}, CPU, (untrained_model, informed))
    answer, lonely = (
        answer_protocols(scene.brain, networks, scene.config, no_progress)["deepnat25"],
        answer_patchwise(untrained_model, scene, no_progress),
    )
    assert (answer.is_informed, lonely.is_informed) == (True, False)
    found, alone = rows_of(answer), rows_of(lonely)
    encoded = with_template(encode_scene(informed, scene, no_progress), informed, scene, no_progress)
    opinion = rows_of(answer_refined(informed, "deepnat25", encoded, scene, no_progress))
    np.testing.assert_allclose(found, 0.5 * alone + 0.5 * opinion, atol=1e-6)  # float32 sums


ALL_OF_A_RATER = ("deepnat25", "tissue5", "subcortical15", "neuromorphometrics")


@pytest.mark.parametrize("asked", [("subcortical15",), ("tissue5", "subcortical15"), ALL_OF_A_RATER])
@pytest.mark.parametrize("has_crf", [True, False])
def test_what_a_template_informs_says_the_same_in_all_protocols_of_a_rater(
    informed, make_whole, scene, monkeypatch, asked, has_crf
):
    one_to_one(monkeypatch)
    model = make_whole(*ALL_OF_A_RATER, n_coordinates=6)
    card = replace(model.card, template=informed.card.template, refined=("deepnat25",))
    model = replace(model, card=card, template=informed.template)
    config = replace(scene.config, has_crf=has_crf, effort="fast")
    everything, found = (
        answer_protocols(scene.brain, Networks(dict.fromkeys(names, model), CPU, (model,)), config, no_progress)
        for names in (ALL_OF_A_RATER, asked)
    )
    assert list(found) == list(asked)
    fine, of_fine = model.schemes["neuromorphometrics"], everything["neuromorphometrics"].classes
    followed = dict.fromkeys(("tissue5", "subcortical15"), "neuromorphometrics") | {"neuromorphometrics": "deepnat25"}
    for name, answer in found.items():
        np.testing.assert_array_equal(answer.classes, everything[name].classes)  # whoever else is asked
        assert answer.is_informed
        assert answer.follows == followed.get(name, "")
        groups = load_scheme(name).classes_of(fine.mapped_ids(np.array(fine.ids), name))
        np.testing.assert_array_equal(answer.classes, groups[of_fine])
        rows = rows_of(answer)
        np.testing.assert_allclose(answer.certainty, rows[np.arange(len(rows)), answer.classes])
        np.testing.assert_allclose(answer.masses, rows.sum(0, np.float64), rtol=1e-5)  # float32 sums


@pytest.mark.usefixtures("swift_pipeline")
def test_within_a_decided_structure_a_template_has_a_weight_of_its_own(informed, scene, monkeypatch):
    """Which gyrus it is, the template knows better than a network; where the cortex ends, it does not."""
    one_to_one(monkeypatch)
    scene = replace(scene, config=replace(scene.config, effort="fast"))
    fine, guess = informed.schemes["neuromorphometrics"], informed.template.classes[:, 0]
    groups = load_scheme("deepnat25").classes_of(fine.mapped_ids(np.array(fine.ids), "deepnat25"))
    agreement, undecided = [], []
    for within in (0.0, 0.05, 6.0):
        spec = TemplateSpec(n_scans=1, weight=0.05, weight_within=within)
        model = replace(informed, card=replace(informed.card, template={"neuromorphometrics": spec}))
        encoded = with_template(encode_scene(model, scene, no_progress), model, scene, no_progress)
        decided = answer_whole(fine, encoded, {"deepnat25": groups[guess]}).classes
        np.testing.assert_array_equal(groups[decided], groups[guess])
        agreement.append(np.mean(decided == guess))
        undecided.append(answer_whole(fine, encoded, {}).classes)
    assert agreement[0] < agreement[1] < agreement[2]
    assert agreement[2] > 0.95
    np.testing.assert_array_equal(undecided[0], undecided[2])


def test_a_template_may_be_of_any_protocol(informed, make_whole, scene, monkeypatch):
    one_to_one(monkeypatch)
    model = make_whole("tissue", n_coordinates=6)
    classes = np.clip(informed.template.classes, 1, 3)
    card = replace(model.card, template={"tissue": TemplateSpec(n_scans=1, weight=1.5)})
    model = replace(model, card=card, template=replace(informed.template, classes=classes))
    found = answer_protocols(scene.brain, Networks({"tissue": model}, CPU, (model,)), scene.config, no_progress)
    assert list(found) == ["tissue"]
    assert found["tissue"].is_informed


def test_protocols_of_other_raters_keep_their_own_answer(informed, make_whole, scene, monkeypatch):
    one_to_one(monkeypatch)
    model = make_whole("subcortical15", "tissue", n_coordinates=6)
    networks = Networks(dict.fromkeys(("subcortical15", "tissue"), model), CPU, (model, informed))
    found = answer_protocols(scene.brain, networks, scene.config, no_progress)
    encoded = encode_scene(model, scene, no_progress)
    for name, answer in found.items():
        np.testing.assert_array_equal(answer.classes, answer_whole(model.schemes[name], encoded, {}).classes)
        assert (answer.is_informed, answer.follows) == (False, "")


def test_the_template_looks_at_the_mirror_image_too_unless_it_shall_go_fast(informed, scene, monkeypatch):
    one_to_one(monkeypatch)
    fast = replace(scene, config=replace(scene.config, effort="fast"))
    plain = encode_scene(informed, fast, no_progress)
    one, two = (
        with_template(plain, informed, somewhere, no_progress).features.priors["neuromorphometrics"]
        for somewhere in (fast, scene)
    )
    assert (one.n_looks, one.classes.shape[1]) == (1, 2)
    assert (two.n_looks, two.classes.shape[1]) == (2, 4)
    np.testing.assert_array_equal(two.classes[:, :2], one.classes)


def test_a_template_that_does_not_fit_changes_nothing(informed, scene):
    upside_down = np.ascontiguousarray(informed.template.grey[..., ::-1])
    model = replace(informed, template=replace(informed.template, grey=upside_down))
    encoded = encode_scene(model, scene, no_progress)
    assert not with_template(encoded, model, scene, no_progress).features.priors


def test_a_template_is_left_alone_where_nobody_asks_for_its_protocol(informed, make_whole, scene, monkeypatch):
    for name in ("place_template", "place_mirrored"):
        monkeypatch.setattr(f"neuronat.pipeline.scene.{name}", lambda *_: pytest.fail("was placed"))
    model = make_whole("tissue", "neuromorphometrics", n_coordinates=6)
    model = replace(model, card=replace(model.card, template=informed.card.template), template=informed.template)
    assert list(answer_protocols(scene.brain, Networks({"tissue": model}, CPU, (model,)), scene.config, no_progress))


def test_who_is_heard(untrained_model, make_whole):
    whole, other = make_whole("deepnat25"), make_whole("tissue")
    models = (untrained_model, whole, other)
    assert Networks({"deepnat25": untrained_model}, CPU, models).opinions("deepnat25") == (whole,)
    assert Networks({"deepnat25": untrained_model}, CPU, models).of_whole_scans == (whole,)
    assert Networks({"deepnat25": whole}, CPU, models).opinions("deepnat25") == ()
    finder = make_whole("brain", "deepnat25", step_vox=2)  # of raw heads
    assert Networks({"deepnat25": untrained_model}, CPU, (finder, whole)).opinions("deepnat25") == (whole,)
    assert Networks({"deepnat25": untrained_model}, CPU, (untrained_model,)).of_whole_scans == ()
    assert Networks({"deepnat25": untrained_model, "tissue": other}, CPU, models).of_whole_scans == (other, whole)


def test_the_crf_refines_what_the_card_names(scene, make_whole):
    plain = make_whole("neuromorphometrics", "deepnat25", n_coordinates=6)
    card = replace(plain.card, refined=("deepnat25",), crf={"appearance_weight": 3.0})
    model = replace(plain, card=card)
    scene = replace(scene, config=SegmentConfig(keeps_islands=True, effort="fast"))
    found = {
        has_crf: answer_protocols(
            scene.brain,
            Networks(dict.fromkeys(model.schemes, model), CPU),
            replace(scene.config, has_crf=has_crf),
            no_progress,
        )
        for has_crf in (True, False)
    }
    encoded = encode_scene(model, scene, no_progress)
    expected = answer_refined(model, "deepnat25", encoded, scene, no_progress)
    np.testing.assert_array_equal(rows_of(found[True]["deepnat25"]), rows_of(expected))
    assert np.abs(rows_of(found[False]["deepnat25"]) - rows_of(expected)).max() > 0.01
    assert list(found[True]) == ["neuromorphometrics", "deepnat25"]
    scheme = model.schemes["neuromorphometrics"]
    fine = scheme.mapped_ids(scheme.ids_of(found[True]["neuromorphometrics"].classes), "deepnat25")
    np.testing.assert_array_equal(fine, load_scheme("deepnat25").ids_of(expected.classes))
