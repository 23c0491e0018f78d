"""Coarser and coarser graphs of one mask, to solve for its eigenvectors on few nodes.

A node is a voxel, or on a coarser graph the connected part of a block of 2 x 2 x 2 finer blocks: voxels on
the two sides of a fissure stay apart although they lie in one block. An edge carries the number of voxel
faces between two nodes.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from neuronat.coords.laplace import neighbour_pairs

__all__ = ["Graph", "coarsen", "laplacian_of", "voxel_graph"]


@dataclass(frozen=True, eq=False)
class Graph:
    """N nodes with mass and position (in voxels), E edges with the number of faces and the axis they cross.

    `lower` and `upper` (E,) are the ends of an edge; `blocks` (N, 3) says in which block a node lies.
    """

    lower: NDArray[np.int32]
    upper: NDArray[np.int32]
    axes: NDArray[np.int8]
    faces: NDArray[np.float64]
    masses: NDArray[np.float64]
    positions: NDArray[np.float64]
    blocks: NDArray[np.int32]


def voxel_graph(mask: NDArray[np.bool_]) -> Graph:
    """Describe the voxels of a mask (I, J, K) as a graph: masses and faces are 1."""
    lower, upper, axes = neighbour_pairs(mask)
    voxels = np.argwhere(mask)
    return Graph(
        lower=lower,
        upper=upper,
        axes=axes,
        faces=np.ones(len(lower)),
        masses=np.ones(len(voxels)),
        positions=voxels.astype(np.float64),
        blocks=voxels.astype(np.int32),
    )


def coarsen(graph: Graph) -> tuple[Graph, NDArray[np.int32]]:
    """Join the connected nodes of each block of 2 x 2 x 2 blocks.

    Parameters
    ----------
    graph : Graph
        N nodes.

    Returns
    -------
    Graph, (N,) int32
        The coarser graph, and for each node of the finer one the coarse node it went into.

    Notes
    -----
    Source: ours (decision 0004).
    """
    n = len(graph.masses)
    blocks = graph.blocks // 2
    same = (blocks[graph.lower] == blocks[graph.upper]).all(axis=1)
    inner = sp.coo_array((np.ones(int(same.sum()), np.int8), (graph.lower[same], graph.upper[same])), shape=(n, n))
    n_coarse, parents = connected_components(inner, directed=False)
    masses = np.bincount(parents, graph.masses).astype(np.float64)
    moments = [np.bincount(parents, graph.masses * graph.positions[:, axis]) for axis in range(3)]
    coarse_blocks = np.empty((n_coarse, 3), np.int32)
    coarse_blocks[parents] = blocks
    lower, upper, axes, faces = merge_edges(
        parents[graph.lower[~same]], parents[graph.upper[~same]], graph.axes[~same], graph.faces[~same]
    )
    coarse = Graph(lower, upper, axes, faces, masses, np.stack(moments, axis=1) / masses[:, None], coarse_blocks)
    return coarse, parents


def merge_edges(
    lower: NDArray[np.int32], upper: NDArray[np.int32], axes: NDArray[np.int8], faces: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8], NDArray[np.float64]]:
    """Join the edges that have the same ends and the same axis, and add up their faces."""
    n = int(max(lower.max(), upper.max())) + 1 if len(lower) else 1
    merged = []
    for axis in range(3):
        here = axes == axis
        table = sp.coo_array((faces[here], (lower[here], upper[here])), shape=(n, n)).tocsr().tocoo()
        merged.append((*table.coords, np.full(table.nnz, axis, np.int8), table.data))
    ends_low, ends_high, all_axes, all_faces = (np.concatenate(parts) for parts in zip(*merged, strict=True))
    return ends_low.astype(np.int32), ends_high.astype(np.int32), all_axes, all_faces


def laplacian_of(graph: Graph) -> sp.csr_array:
    """Assemble the Laplacian of a graph, with weight = faces / distance between nodes along the axis crossed.

    Parameters
    ----------
    graph : Graph
        N nodes.

    Returns
    -------
    (N, N) float64, sparse
        Its generalized eigenvectors with the masses approximate those of the voxels' Laplacian.

    Notes
    -----
    Source: ours: a finite-volume scheme; exact for the voxels, where faces and distances are 1. A distance
    below half a voxel, which odd shapes can produce, counts as half a voxel.
    """
    n = len(graph.masses)
    ends = graph.positions[graph.upper, graph.axes] - graph.positions[graph.lower, graph.axes]
    weights = graph.faces / np.maximum(ends, 0.5)
    half = sp.coo_array((weights, (graph.lower, graph.upper)), shape=(n, n)).tocsr()
    adjacency = half + half.T
    return sp.csr_array(sp.diags_array(adjacency.sum(axis=1)) - adjacency)
