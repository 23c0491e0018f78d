import numpy as np
import pytest
import torch

from neuronat.infer.cells import OF_A_CENTRE, OF_A_PAIR, cell_rows, cell_table

COUNTS = (2, 3, 4)


@pytest.fixture
def variants(rng):
    """Each cell of each variant carries its own two numbers, so a wrong row cannot hide."""
    shapes = [[n if subset >> axis & 1 else n + 2 for axis, n in enumerate(COUNTS)] for subset in range(8)]
    return [torch.from_numpy(rng.normal(size=(1, 2, *shape))) for shape in shapes]


def test_the_cells_of_a_centre_are_those_of_its_patch(variants):
    centres = np.argwhere(np.ones(COUNTS, bool))[::2]
    found = cell_table(variants)[torch.from_numpy(cell_rows(centres, COUNTS, OF_A_CENTRE))]
    expected = np.zeros((len(centres), 3, 3, 3, 2))
    for number, centre in enumerate(centres):
        for cell in np.ndindex(3, 3, 3):
            subset = sum(1 << axis for axis in range(3) if cell[axis] == 2)
            i, j, k = (c if step == 2 else c + step for c, step in zip(centre, cell, strict=True))
            expected[number][cell] = variants[subset][0, :, i, j, k]
    np.testing.assert_array_equal(found, expected.reshape(len(centres), 27, 2))


def test_a_pair_reads_the_cells_of_both_its_centres(variants):
    table = cell_table(variants)
    cells_of = {
        tuple(c): table[torch.from_numpy(cell_rows(c[None], COUNTS, OF_A_CENTRE))][0].reshape(3, 3, 3, 2).numpy()
        for c in np.argwhere(np.ones(COUNTS, bool))
    }
    found = table[torch.from_numpy(cell_rows(np.array([[0, 1, 2]]), COUNTS, OF_A_PAIR))][0].reshape(5, 5, 5, 2).numpy()
    first, second = [0, 2, 1], [2, 3, 4]  # where x0, x1, l0 of the one and x1, x2, l1 of the other stand
    for i, j, k in np.ndindex(2, 2, 2):
        seen = found[np.ix_(*((second if step else first) for step in (i, j, k)))]
        np.testing.assert_array_equal(seen, cells_of[i, 1 + j, 2 + k])


def test_a_centre_at_the_end_has_no_neighbour_and_no_row_is_outside(variants):
    rows = cell_rows(np.array([[1, 2, 3]]), COUNTS, OF_A_PAIR)
    assert rows.min() >= 0
    assert rows.max() < len(cell_table(variants))


def test_rows_do_not_depend_on_how_the_variants_lie_in_memory(variants):
    other = [variant.contiguous(memory_format=torch.channels_last_3d) for variant in variants]
    np.testing.assert_array_equal(cell_table(variants), cell_table(other))
