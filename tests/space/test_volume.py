import numpy as np
import pytest

from neuronat.errors import GridError, LabelError, ShapeError
from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.space.volume import LabelMap, Probabilities, Volume

PAIR = LabelScheme("pair", (0, 4, 43), ("none", "left", "right"), ("#000000",) * 3, (0, 43, 4))
AFFINE = np.array([[0, -2.0, 0, 7], [1, 0, 0, -3], [0, 0, 3, 11], [0, 0, 0, 1]])


def of_kind(kind: str, shape: tuple[int, ...], affine: np.ndarray) -> Volume | LabelMap | Probabilities:
    if kind == "volume":
        return Volume(np.zeros(shape, np.float32), affine)
    if kind == "labels":
        return LabelMap(np.zeros(shape, np.int16), affine, PAIR)
    return Probabilities(np.zeros((3, *shape), np.float32), affine, PAIR)


@pytest.mark.parametrize("kind", ["volume", "labels", "probabilities"])
def test_every_noun_checks_its_extents_and_its_affine_at_birth(kind: str):
    of_kind(kind, (1, 2, 3), AFFINE)
    for shape in ((2, 3), (2, 3, 4, 5), (2, 0, 3)):
        with pytest.raises(ShapeError, match=rf"expected one 3D volume; got {len(shape)} dimensions \({shape[0]}, "):
            of_kind(kind, shape, AFFINE)
    with pytest.raises(GridError, match=r"must be a finite \(4, 4\) matrix; got shape \(3, 3\)"):
        of_kind(kind, (1, 2, 3), AFFINE[:3, :3])
    for broken in (np.nan, np.inf):
        affine = AFFINE.copy()
        affine[2, 3] = broken
        with pytest.raises(GridError, match=r"must be a finite \(4, 4\) matrix; got shape \(4, 4\)"):
            of_kind(kind, (1, 2, 3), affine)
    flat = AFFINE.copy()
    flat[:, 1] = flat[:, 0]
    with pytest.raises(GridError, match=r"affine is singular: .*; repair the header's sform or qform"):
        of_kind(kind, (1, 2, 3), flat)


def test_a_thousandth_of_a_millimetre_is_no_singular_voxel():
    assert of_kind("volume", (1, 2, 3), np.diag([-0.0011, 0.0011, 0.0011, 1.0])).affine[0, 0] == -0.0011


def test_a_noun_refuses_numbers_of_another_kind():
    with pytest.raises(ShapeError, match="grey values must be float32; got float64"):
        Volume(np.zeros((2, 3, 4)), AFFINE)
    with pytest.raises(ShapeError, match="label ids must be integers; got float32"):
        LabelMap(np.zeros((2, 3, 4), np.float32), AFFINE, PAIR)
    with pytest.raises(ShapeError, match="2 channels do not fit the 3 classes of pair"):
        Probabilities(np.zeros((2, 2, 3, 4), np.float32), AFFINE, PAIR)


def test_a_mapped_label_map_keeps_its_places():
    fine = LabelMap(np.array([[[60, 59, 0]]], np.int16), AFFINE, load_scheme("neuromorphometrics"))
    mapped = fine.mapped(load_scheme("deepnat25"))
    np.testing.assert_array_equal(mapped.ids, [[[10, 49, 0]]])
    np.testing.assert_array_equal(mapped.affine, AFFINE)
    assert mapped.scheme.name == "deepnat25"
    with pytest.raises(LabelError, match="scheme deepnat25 has no mapping to pair"):
        mapped.mapped(PAIR)
