import numpy as np

from neuronat.coords.axes import along_world_axes, correlations

XYZ_MM = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in ((6, 1.0), (8, 0.5), (5, 2.0))), indexing="ij"), -1)
XYZ_MM = XYZ_MM.reshape(-1, 3)


def standardized(columns):
    columns = columns - columns.mean(axis=0)
    return columns / np.sqrt((columns**2).mean(axis=0))


def test_vectors_are_put_in_the_order_of_the_axes_and_made_to_grow():
    ramps = standardized(XYZ_MM)
    found = along_world_axes(np.array([1.0, 2.0, 3.0]), np.stack([-ramps[:, 2], ramps[:, 0], -ramps[:, 1]], 1), XYZ_MM)
    np.testing.assert_allclose(found, ramps)


def test_vectors_of_one_eigenvalue_are_turned_to_the_axes():
    ramps = standardized(XYZ_MM)
    angle = 0.7
    mixed = np.stack(
        [np.cos(angle) * ramps[:, 0] + np.sin(angle) * ramps[:, 2], ramps[:, 1],
         np.sin(angle) * ramps[:, 0] - np.cos(angle) * ramps[:, 2]], axis=1
    )  # fmt: skip
    found = along_world_axes(np.array([1.0, 1.0, 1.0]), mixed, XYZ_MM)
    np.testing.assert_allclose(found, ramps, atol=1e-12)


def test_vectors_of_different_eigenvalues_are_left_as_they_are():
    ramps = standardized(XYZ_MM)
    mixed = np.stack([ramps @ [0.8, 0.6, 0], ramps @ [-0.6, 0.8, 0], ramps[:, 2]], axis=1)
    found = along_world_axes(np.array([1.0, 1.1, 1.2]), mixed, XYZ_MM)
    np.testing.assert_allclose(found, mixed)


def test_a_fourth_vector_of_the_same_eigenvalue_takes_part_in_the_turning():
    ramps = standardized(XYZ_MM)
    bump = standardized(XYZ_MM[:, :1] ** 2 - 5 * XYZ_MM[:, :1])[:, 0]
    mixed = np.stack([ramps[:, 0], ramps[:, 1], ramps[:, 2] * 0.6 + bump * 0.8, ramps[:, 2] * 0.8 - bump * 0.6], 1)
    found = along_world_axes(np.array([1.0, 2.0, 3.0, 3.0]), mixed, XYZ_MM)
    np.testing.assert_allclose(found, ramps, atol=1e-12)


def test_an_even_vector_takes_its_sign_from_the_squares():
    even = standardized((XYZ_MM[:, 0] - XYZ_MM[:, 0].mean()) ** 2)
    for sign in (1, -1):
        found = along_world_axes(np.array([1.0]), sign * even[:, None], XYZ_MM)
        np.testing.assert_allclose(found.sum(axis=1), even)


def test_a_vector_that_nothing_decides_is_positive_where_it_is_largest():
    saddle = np.zeros(len(XYZ_MM))
    saddle[[0, -1, 3, -4]] = [2, -2, -1, 1]
    saddle -= saddle.mean()
    flat = np.zeros_like(XYZ_MM)
    for sign in (1, -1):
        found = along_world_axes(np.array([1.0]), sign * saddle[:, None], flat)
        np.testing.assert_allclose(found.sum(axis=1), saddle)


def test_missing_vectors_leave_a_column_of_zeros():
    ramps = standardized(XYZ_MM)
    found = along_world_axes(np.array([1.0]), -ramps[:, 1:2], XYZ_MM)
    np.testing.assert_allclose(found, ramps * [0, 1, 0])


def test_correlations_are_those_of_the_textbook_and_zero_with_a_constant(rng):
    vectors = standardized(rng.standard_normal((50, 2)))
    positions = rng.standard_normal((50, 3))
    positions[:, 1] = 4.0
    expected = np.corrcoef(np.concatenate([vectors, positions[:, [0, 2]]], axis=1).T)[:2, 2:]
    np.testing.assert_allclose(correlations(vectors, positions), np.insert(expected, 1, 0, axis=1), atol=1e-12)
