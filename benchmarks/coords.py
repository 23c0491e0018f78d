"""Measure brain coordinates: seconds, peak memory, and |cos| with the exact eigenvectors at full resolution.

Usage: python benchmarks/coords.py [--exact] [--all]

Takes a brain-like mask of about 1.6 million voxels; with NEURONAT_DATA set, the first real brain mask there too, or
with --all each of them. --exact adds the slow solve that the budget is measured against, minutes per mask.
"""

import argparse
import os
import platform
import resource
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.linalg import LinearOperator, lobpcg, splu

from neuronat.coords.axes import correlations
from neuronat.coords.hierarchy import coarsen, laplacian_of, voxel_graph
from neuronat.coords.laplace import assemble_laplacian, main_component
from neuronat.coords.spectral import cartesian_coordinates, spectral_coordinates
from neuronat.space.files import read_mask

RESIDUAL = 2e-7  # eigenvalues lie 3e-4 apart: |cos| is known to 1e-6


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--exact", action="store_true", help="compare with the exact eigenvectors")
    options.add_argument("--all", action="store_true", help="measure every mask in NEURONAT_DATA")
    chosen = options.parse_args()
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(f"revision {revision.stdout.strip()}, {machine}")
    for name, mask, affine in masks(chosen.all):
        measure(name, mask, affine, exact=chosen.exact)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")


def masks(every: bool) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.float64]]]:
    """Yield name, mask and affine: a synthetic brain, and real ones where the scans are."""
    yield "synthetic", brain_like_mask(), np.eye(4)
    folder = os.environ.get("NEURONAT_DATA")
    paths = sorted(Path(folder).glob("malc/*/anat/*_desc-brain_mask.nii.gz")) if folder else []
    for path in paths if every else paths[:1]:
        volume = read_mask(path)
        yield path.name.split("_")[0], volume.values > 0.5, volume.affine


def brain_like_mask() -> NDArray[np.bool_]:
    """Draw two hemispheres with folds, joined below a fissure, a cerebellum and a stem."""
    rng = np.random.default_rng(7)
    x, y, z = np.meshgrid(np.arange(-74, 75), np.arange(-92, 93), np.arange(-80, 71), indexing="ij", sparse=True)
    folds = ndimage.gaussian_filter(rng.standard_normal((149, 185, 151)), 3)
    folds /= folds.std()
    cerebrum = (x / 70) ** 2 + (y / 87) ** 2 + ((z - 6) / 59) ** 2 + 0.045 * folds < 1
    fissure = (np.abs(x) < 1.5) & (z > 15)
    cerebellum = (x / 50) ** 2 + ((y + 50) / 34) ** 2 + ((z + 46) / 28) ** 2 < 1
    stem = x**2 + (y + 22) ** 2 < 14**2
    return main_component(cerebrum & ~fissure | cerebellum | stem & (z < 0))


def measure(name: str, mask: NDArray[np.bool_], affine: NDArray[np.float64], *, exact: bool) -> None:
    """Print one mask's row."""
    wall_s, processor_s = time.perf_counter(), time.process_time()
    spectral = spectral_coordinates(mask, affine)
    wall_s, processor_s = time.perf_counter() - wall_s, time.process_time() - processor_s
    inside = main_component(mask)
    vectors = spectral[:, inside].T.astype(np.float64)
    matrix = correlations(vectors, cartesian_coordinates(mask, affine)[:, inside].T)
    print(f"{name}: {mask.sum()} voxels, {wall_s:.1f} s, processor {processor_s:.1f} s")
    print(f"  correlation with x, y, z: {np.round(matrix, 2).tolist()}")
    if exact:
        cosines, residuals = compare_with_exact(inside, vectors)
        print(f"  |cos| {np.round(cosines, 7).tolist()} with vectors of relative residual {residuals.max():.0e}")


def compare_with_exact(
    inside: NDArray[np.bool_], vectors: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return |cos| of three vectors with the exact eigenvectors, and these' residuals over their eigenvalues."""
    laplacian = assemble_laplacian(inside)
    n = laplacian.shape[0]
    others = np.random.default_rng(3).standard_normal((n, 3))  # so that a vector that we missed would be found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the other three, which converge later
        values, exact = lobpcg(
            laplacian,
            np.concatenate([vectors, others], axis=1),
            M=preconditioner(inside, laplacian),
            Y=np.ones((n, 1)),
            tol=RESIDUAL,
            maxiter=150,
            largest=False,
        )
    order = np.argsort(values)[:3]
    values, exact = values[order], exact[:, order]
    residuals = np.linalg.norm(laplacian @ exact - exact * values, axis=0) / values
    return np.abs(exact.T @ vectors).max(axis=0) / np.sqrt(n), residuals


def preconditioner(inside: NDArray[np.bool_], laplacian: sp.csr_array) -> LinearOperator:
    """Return an approximate inverse: Jacobi on the voxels plus a solve on connected blocks of 4 x 4 x 4."""
    graph, to_two = coarsen(voxel_graph(inside))
    graph, to_four = coarsen(graph)
    parents, n_blocks = to_four[to_two], len(graph.masses)
    restrict = sp.csr_array((np.ones(len(parents)), (parents, np.arange(len(parents)))))
    shifted = laplacian_of(graph) + sp.diags_array(1e-6 * graph.masses)
    solve = splu(sp.csc_array(shifted), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve
    diagonal = laplacian.diagonal()[:, None]

    def approximate(columns: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = columns.reshape(len(parents), -1)
        return columns / diagonal + solve(restrict @ columns).reshape(n_blocks, -1)[parents]

    return LinearOperator(laplacian.shape, matvec=approximate, matmat=approximate, dtype=np.float64)


if __name__ == "__main__":
    main()
