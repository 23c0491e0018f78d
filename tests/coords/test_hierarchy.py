import numpy as np

from neuronat.coords.hierarchy import coarsen, laplacian_of, voxel_graph


def test_voxels_of_a_block_join_only_where_they_touch():
    mask = np.zeros((2, 2, 5), bool)
    mask[0, 0, :] = mask[1, 1, 0] = True  # (1, 1, 0) lies in the first block and touches none of its voxels
    graph, parents = coarsen(voxel_graph(mask))
    assert parents[0] == parents[1] != parents[5]  # numbers 0 to 4 are the row, 5 the lone voxel
    np.testing.assert_array_equal(graph.masses[parents], [2, 2, 2, 2, 1, 1])
    np.testing.assert_array_equal(graph.positions[parents[2]], [0, 0, 2.5])
    assert len(graph.lower) == 2


def test_a_coarse_edge_counts_the_faces_between_its_ends():
    graph, _ = coarsen(voxel_graph(np.ones((2, 2, 4), bool)))
    np.testing.assert_array_equal(graph.faces, [4.0])
    np.testing.assert_array_equal(graph.axes, [2])
    np.testing.assert_array_equal(graph.positions[graph.upper] - graph.positions[graph.lower], [[0, 0, 2]])


def test_a_weight_is_faces_by_distance_also_at_a_cut_block():
    laplacian = laplacian_of(coarsen(voxel_graph(np.ones((2, 2, 5), bool)))[0])
    # blocks of 2, 2 and 1 slices: centres 2 and 1.5 apart, 4 faces each time
    np.testing.assert_allclose(np.sort(-laplacian.toarray()[np.triu_indices(3, 1)]), [0, 2, 4 / 1.5])


def test_a_node_of_nodes_lies_at_their_centre_of_mass():
    graph = voxel_graph(np.ones((1, 1, 7), bool))
    for _ in range(2):
        graph, _ = coarsen(graph)
    np.testing.assert_array_equal(graph.positions[:, 2], [1.5, 5.0])
    np.testing.assert_array_equal(graph.masses, [4, 3])


def test_the_laplacian_of_voxels_is_that_of_degree_and_neighbours(rng):
    mask = rng.random((5, 6, 7)) < 0.7
    voxels = np.argwhere(mask)
    adjacency = (np.abs(voxels[:, None] - voxels[None]).sum(axis=2) == 1).astype(float)
    np.testing.assert_array_equal(laplacian_of(voxel_graph(mask)).toarray(), np.diag(adjacency.sum(1)) - adjacency)


def test_coarsening_ends_in_one_node_per_component_that_keeps_the_mass(rng):
    mask = rng.random((9, 10, 11)) < 0.9
    mask[4] = False
    graph = voxel_graph(mask)
    for _ in range(4):
        graph, _ = coarsen(graph)
    assert graph.masses.sum() == mask.sum()
    assert len(graph.lower) == 0
