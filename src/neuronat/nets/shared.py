"""The convolutions of many DeepNAT patches at once, exactly.

Patches whose centres lie two voxels apart share their pooled grid, so one convolution serves them all. One thing
stands in the way: in ceil mode the last pooling window of a patch (cell 8 of 0..8) sees one voxel only, while the
same cell of a neighbouring patch sees two. A feature therefore has *variants*: S, the set of axes along which it is
the last of its patch (bits of an integer, 0..7).

    cells of patch c along one axis        c  c+1  ...  c+7   c+8
    pooling windows                        2   2   ...   2     1   <- the variant "last"

With L cells per patch and n centres along an axis, a variant has n + L - 1 cells along an axis outside S, and the
n last cells of the n patches along an axis in S. A convolution of k taps turns L into L - k + 1:

    out_S = sum over B in S of  kernel_B * D_B,    D_B = sum over A in B of (-1)^|B-A| input_A

where kernel_B keeps the last tap only along the axes of B. Both sums are done one axis at a time.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from neuronat.nets.deepnat import DeepNat

__all__ = ["first_features", "lattice_cells", "lattice_variants"]

N_VARIANTS = 8


def first_features(net: DeepNat, intensities: Tensor) -> Tensor:
    """Return the first layer's features (N, 32, I-6, J-6, K-6) of intensities (N, 1, I, J, K)."""
    return functional.relu(net.conv1(intensities))


def lattice_variants(net: DeepNat, features: Tensor) -> list[Tensor]:
    """Compute the last convolution's features, in all variants, for centres two voxels apart.

    Parameters
    ----------
    net : DeepNat
        In training mode its batch statistics are those of the block, weighted as in the patches.
    features : (N, 32, 15 + 2 n_i, 15 + 2 n_j, 15 + 2 n_k) float
        First-layer features of N blocks with n_i x n_j x n_k centres; the first centre is 11 voxels inside the
        block that the features came from. A voxel more along an axis saves a copy and changes nothing.

    Returns
    -------
    list of 8 (N, 64, ., ., .) float
        One tensor per variant; along an axis n + 2 cells outside S, n inside.

    Notes
    -----
    Source: ours; equal to `DeepNat.forward` up to rounding.
    """
    counts = tuple((extent - 15) // 2 for extent in features.shape[2:])
    variants = _pool(features, counts)
    variants = _convolve(net.conv2, variants, counts)
    variants = _normalize(net.norm2, variants, counts, cells=5)
    variants = _convolve(net.conv3, variants, counts)
    return _normalize(net.norm3, variants, counts, cells=3)


def lattice_cells(variants: list[Tensor], counts: tuple[int, int, int]) -> list[Tensor]:
    """Return the 27 cells of the 3^3 block that the first fully connected layer reads, each (N, 64, n_i, n_j, n_k)."""
    cells = []
    for position in range(27):
        steps = (position // 9, position // 3 % 3, position % 3)
        cell = variants[sum(1 << axis for axis in range(3) if steps[axis] == 2)]
        for axis in range(3):
            if steps[axis] < 2:
                cell = cell.narrow(2 + axis, steps[axis], counts[axis])
        cells.append(cell)
    return cells


def _pool(features: Tensor, counts: tuple[int, ...]) -> list[Tensor]:
    """Max-pool into the eight variants: windows of one voxel along the axes of S, of two elsewhere.

    One axis at a time, and by views that need no zero-filled gradients: this is the largest tensor of a training.
    """
    # a zero after the last voxel changes no maximum, since the features come out of a ReLU
    missing = [2 * n + 16 - extent for n, extent in zip(counts, features.shape[2:], strict=True)]
    variants = [functional.pad(features, (0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else features]
    for axis in range(3):
        pairs = [torch.unflatten(v, 2 + axis, (-1, 2)).unbind(3 + axis) for v in variants]
        both = [_larger(even, odd) for even, odd in pairs]
        # the last cell of patch c is voxel 2c + 16 of its first-layer features
        last = [even.narrow(2 + axis, 8, counts[axis]) for even, _ in pairs]
        variants = both + last
    return variants if torch.is_grad_enabled() else [variant.clone() for variant in variants]


def _larger(first: Tensor, second: Tensor) -> Tensor:
    """Elementwise maximum; while gradients are recorded in a form whose backward pass is three times cheaper."""
    if torch.is_grad_enabled():
        return first + functional.relu(second - first)
    return torch.maximum(first, second)


def _convolve(layer: nn.Conv3d, inputs: list[Tensor], counts: tuple[int, ...]) -> list[Tensor]:
    """Apply one convolution to all variants; see the module's formula."""
    differences = _combine(inputs, counts, sign=-1)
    kernels = [_last_taps(layer.weight, subset) for subset in range(N_VARIANTS)]
    outputs = [functional.conv3d(d, kernel) for d, kernel in zip(differences, kernels, strict=True)]
    if differences[0].is_contiguous(memory_format=torch.channels_last_3d):  # small convolutions come back otherwise
        outputs = [output.contiguous(memory_format=torch.channels_last_3d) for output in outputs]
    return _combine(outputs, counts, sign=1)


def _combine(variants: list[Tensor], counts: tuple[int, ...], *, sign: int) -> list[Tensor]:
    """Sum over the subsets B of every S, with the sign (-1)^|S-B| or +1: one axis at a time.

    In place where no gradients are recorded: fresh memory costs more than the sum.
    """
    combined = list(variants)
    add = torch.add if torch.is_grad_enabled() else Tensor.add_
    for axis in range(3):
        for subset in range(N_VARIANTS):
            if subset >> axis & 1:
                without = _tail(combined[subset ^ (1 << axis)], axis, counts)
                combined[subset] = add(combined[subset], without, alpha=sign)
    return combined


def _last_taps(kernel: Tensor, subset: int) -> Tensor:
    """Keep the last tap only along the axes of `subset`."""
    for axis in range(3):
        if subset >> axis & 1:
            kernel = kernel.narrow(2 + axis, kernel.shape[2 + axis] - 1, 1)
    return kernel


def _tail(x: Tensor, axis: int, counts: tuple[int, ...]) -> Tensor:
    """Return the last n cells along an axis: where the last cells of the n patches lie."""
    return x.narrow(2 + axis, x.shape[2 + axis] - counts[axis], counts[axis])


def _normalize(layer: nn.BatchNorm3d, variants: list[Tensor], counts: tuple[int, ...], *, cells: int) -> list[Tensor]:
    """Batch-normalize all variants with common statistics, then ReLU."""
    if layer.training:
        mean, variance = _moments(variants, counts, cells=cells)
        _update_running(layer, mean, variance, n_values=variants[0].numel() // variants[0].shape[1])
    else:
        mean, variance = _running(layer)
    scale = torch.rsqrt(variance + layer.eps)
    shape = (1, -1, 1, 1, 1)
    scale, shift = scale.view(shape), (-mean * scale).view(shape)
    if torch.is_grad_enabled():
        return [functional.relu(torch.addcmul(shift.to(v.dtype), v, scale.to(v.dtype))) for v in variants]
    return [torch.addcmul(shift.to(v.dtype), v, scale.to(v.dtype), out=v).relu_() for v in variants]


def _running(layer: nn.BatchNorm3d) -> tuple[Tensor, Tensor]:
    """Return the layer's running mean and variance, which this network always keeps."""
    if layer.running_mean is None or layer.running_var is None:  # pragma: no cover
        raise TypeError("DeepNat's batch normalization keeps running statistics")
    return layer.running_mean, layer.running_var


def _moments(variants: list[Tensor], counts: tuple[int, ...], *, cells: int) -> tuple[Tensor, Tensor]:
    """Mean and variance per channel, each variant weighted by its share of a patch's `cells`^3 features."""
    mean = torch.zeros((), device=variants[0].device)
    square = torch.zeros((), device=variants[0].device)
    for subset, variant in enumerate(variants):
        share = 1.0
        used = variant
        for axis in range(3):
            is_last = bool(subset >> axis & 1)
            share *= (1 if is_last else cells - 1) / cells
            if not is_last:  # the block's very last cell belongs to a "last" variant only
                used = used.narrow(2 + axis, 0, counts[axis] + cells - 2)
        variance_here, mean_here = torch.var_mean(_at_least_float32(used), dim=(0, 2, 3, 4), correction=0)
        mean = mean + share * mean_here
        square = square + share * (variance_here + mean_here**2)
    return mean, square - mean**2


def _at_least_float32(x: Tensor) -> Tensor:
    """Half precision is too coarse for sums over many voxels."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


@torch.no_grad()
def _update_running(layer: nn.BatchNorm3d, mean: Tensor, variance: Tensor, *, n_values: int) -> None:
    """Move the running statistics towards the batch's, as `nn.BatchNorm3d` does."""
    running_mean, running_var = _running(layer)
    momentum = layer.momentum or 0.0
    running_mean.lerp_(mean, momentum)
    running_var.lerp_(variance * (n_values / max(n_values - 1, 1)), momentum)
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
