import numpy as np
import pytest
import torch

from neuronat.infer.hidden import hidden_values, make_hidden_layer, plan_parts


@pytest.fixture
def layer(rng):
    return make_hidden_layer(torch.from_numpy(rng.normal(size=(27, 3, 8))), torch.from_numpy(rng.normal(size=8)))


def table_of(counts, rng):
    n_rows = sum(np.prod([n if subset >> axis & 1 else n + 2 for axis, n in enumerate(counts)]) for subset in range(8))
    return torch.from_numpy(rng.normal(size=(n_rows, 3)))


def values_by_centre(layer, table, inside, size, *, in_blocks):
    found = {}
    for part in plan_parts(inside, size, in_blocks=in_blocks):
        values = hidden_values(layer, table, inside.shape, part).numpy()
        assert (part.blocks is not None) == in_blocks
        for centre, value in zip(part.centres.tolist(), values, strict=True):
            assert tuple(centre) not in found
            found[tuple(centre)] = value
    assert sorted(found) == [tuple(centre) for centre in np.argwhere(inside).tolist()]
    return np.array([found[key] for key in sorted(found)])


@pytest.mark.parametrize("shape", [(4, 6, 2), (3, 5, 4), (2, 1, 7)])
@pytest.mark.parametrize("size", [8, 24, 1000])
def test_blocks_give_what_single_centres_give(layer, rng, shape, size):
    inside, table = np.ones(shape, bool), table_of(shape, rng)
    inside[0, 0, 0] = min(shape) < 2  # a block with a hole
    if min(shape) < 2:  # where neighbours lack everywhere, sharing does not pay and is not done
        part = next(plan_parts(inside, size, in_blocks=True))
        assert part.blocks is None
        return
    expected = values_by_centre(layer, table, inside, size, in_blocks=False)
    found = values_by_centre(layer, table, inside, size, in_blocks=True)
    # double precision, sums of 81 products of numbers near 1, of differences up to 8 times as large
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_single_centres_are_weighed_cell_by_cell_with_bias_and_relu(rng):
    weights, bias = rng.normal(size=(27, 3, 8)), rng.normal(size=8)
    layer = make_hidden_layer(torch.from_numpy(weights), torch.from_numpy(bias))
    table = table_of((1, 1, 1), rng)
    (part,) = plan_parts(np.ones((1, 1, 1), bool), 10, in_blocks=False)
    found = hidden_values(layer, table, (1, 1, 1), part)
    # variant 0 has 3^3 cells, of which a lone centre reads the first 2^3; the others in the order of the bits
    starts = np.cumsum([0, 27, 9, 9, 3, 9, 3, 3])
    total = bias.copy()
    for number, (i, j, k) in enumerate(np.ndindex(3, 3, 3)):
        lasts = [step == 2 for step in (i, j, k)]
        row = 0
        for step, last in zip((i, j, k), lasts, strict=True):
            row = row * (1 if last else 3) + (0 if last else step)
        total += table[starts[sum(1 << a for a in range(3) if lasts[a])] + row].numpy() @ weights[number]
    np.testing.assert_allclose(found[0], np.maximum(total, 0), rtol=0, atol=1e-12)


def test_scattered_centres_are_taken_one_by_one():
    inside = np.zeros((8, 6, 4), bool)
    inside[::2, ::2, ::2] = True  # one in each block: sharing would be more work
    parts = list(plan_parts(inside, 10, in_blocks=True))
    assert [part.blocks for part in parts] == [None, None, None]
    assert [len(part.centres) for part in parts] == [10, 10, 4]
