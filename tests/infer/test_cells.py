import numpy as np
import torch

from neuronat.infer.cells import cell_rows, cell_table, gather_cells

COUNTS = (2, 3, 4)


def variant_shape(subset):
    return tuple(n if subset >> axis & 1 else n + 2 for axis, n in enumerate(COUNTS))


def test_cells_stand_where_the_patches_have_them(rng):
    """Each cell of each variant carries its own two numbers, so a wrong row cannot hide."""
    variants = [torch.from_numpy(rng.normal(size=(1, 2, *variant_shape(subset)))) for subset in range(8)]
    lattice = np.argwhere(np.ones(COUNTS, bool))[::2]
    found = gather_cells(cell_table(variants), torch.from_numpy(cell_rows(lattice, COUNTS)))
    expected = np.zeros((len(lattice), 3, 3, 3, 2))
    for number, centre in enumerate(lattice):
        for cell in np.ndindex(3, 3, 3):
            subset = sum(1 << axis for axis in range(3) if cell[axis] == 2)
            i, j, k = (c if step == 2 else c + step for c, step in zip(centre, cell, strict=True))
            expected[number][cell] = variants[subset][0, :, i, j, k]
    np.testing.assert_array_equal(found, expected.reshape(len(lattice), -1))


def test_rows_do_not_depend_on_how_the_variants_lie_in_memory(rng):
    variants = [torch.from_numpy(rng.normal(size=(1, 2, *variant_shape(subset)))) for subset in range(8)]
    other = [variant.contiguous(memory_format=torch.channels_last_3d) for variant in variants]
    np.testing.assert_array_equal(cell_table(variants), cell_table(other))
