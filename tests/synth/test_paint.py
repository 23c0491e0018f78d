import torch

from neuronat.synth.paint import CSF, FIRST_OUTSIDE, T1_GREY, clutter, paint, palette

IDS = (0, 2, 3, CSF, 41, 42, 515)


def test_left_and_right_get_one_colour():
    means, textures = palette(IDS, 1.0, torch.Generator().manual_seed(1))
    assert (means[1], textures[1], means[2]) == (means[4], textures[4], means[5])


def test_usual_palettes_look_like_t1():
    order = 0
    for seed in range(40):
        means, _ = palette(IDS, 0.0, torch.Generator().manual_seed(seed))
        order += bool(means[1] > means[2] > means[3] > means[0])
    assert order > 34  # white over grey over fluid over air, most of the time


def test_painted_regions_have_their_mean():
    labels = torch.zeros(24, 24, 24, dtype=torch.uint8)
    labels[12:] = 1
    image = paint(labels, torch.tensor([0.2, 1.0]), torch.tensor([0.01, 0.01]), torch.Generator().manual_seed(0))
    assert abs(float(image[:9].mean()) - 0.2) < 0.03
    assert abs(float(image[15:].mean()) - 1.0) < 0.03
    assert 0.25 < float(image[11].mean()) < 0.95  # partial volume at the border


def test_ids_outside_the_brain_are_those_of_500_and_over():
    assert {i for i in T1_GREY if i >= FIRST_OUTSIDE} == {502, 506, 507, 508, 509, 511, 512, 514, 515, 516, 530}


def test_clutter_is_uneven_outside_and_leaves_the_brain_alone():
    image = torch.full((32, 32, 32), 0.5)
    is_outside = torch.zeros(32, 32, 32, dtype=torch.bool)
    is_outside[:16] = True
    cluttered = clutter(image, is_outside, torch.Generator().manual_seed(2))
    assert bool((cluttered[16:] == 0.5).all())
    assert len(cluttered[:16].mul(20).round().unique()) >= 4
    assert 0.5 * 0.3 <= float(cluttered.min()) <= float(cluttered.max()) <= 0.5 * 1.83
