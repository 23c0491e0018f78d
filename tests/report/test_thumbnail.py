from dataclasses import replace
from io import BytesIO

import numpy as np
from matplotlib.image import imread

from neuronat.report.thumbnail import draw_thumbnail
from neuronat.space.volume import LabelMap, Volume


def read(content: bytes) -> np.ndarray:
    return imread(BytesIO(content), format="png")


def test_structures_are_coloured_and_the_head_around_the_brain_is_black(head):
    picture = read(draw_thumbnail(*head))
    assert picture.shape == (124, 372, 3)
    is_coloured = np.ptp(picture, axis=2) > 0.02
    rows, columns = np.nonzero(is_coloured[:, 124:248])  # axial: the thalami are 8 x 16 mm, 12 slices apart
    assert 8 <= np.ptp(rows) * 1.6 <= 20
    assert 16 <= np.ptp(columns) * 1.6 <= 26
    assert picture[:20].max() == 0, "nothing of the face"
    seen = picture.any(axis=2)
    assert 0.02 < seen.mean() < 0.3


def test_the_scale_is_that_of_millimetres_on_every_grid(head):
    image, mask, labels = head
    coarse = image.affine.copy()
    coarse[:3, :3] *= 1.5
    sizes = []
    for affine in (image.affine, coarse):
        picture = read(draw_thumbnail(Volume(image.values, affine), mask, LabelMap(labels.ids, affine, labels.scheme)))
        sizes.append(np.count_nonzero(np.ptp(picture, axis=2) > 0.02))
    assert 1.7 < sizes[1] / sizes[0] < 2.9


def test_without_labels_the_picture_is_grey(head):
    image, mask, labels = head
    picture = read(draw_thumbnail(image, mask, replace(labels, ids=np.zeros_like(labels.ids))))
    assert picture.any()
    assert np.ptp(picture, axis=2).max() == 0
