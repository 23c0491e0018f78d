"""Take islands away: small pieces of a structure far from its body, which no brain has.

A structure's *body* is its largest piece (voxels that share a corner hang together); an *island* is another piece,
smaller and farther away than `IslandConfig` says. Its voxels go to the class that is most probable without it.
"""

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.errors import ConfigError
from neuronat.labels.scheme import LabelScheme

__all__ = ["IslandConfig", "without_islands"]

IN_PIECES = {"deepnat25": ("Left-Lateral-Ventricle", "Right-Lateral-Ventricle")}
"""By protocol, the structures that manual labels show in several pieces. Other protocols are left as they are."""

TOGETHER = np.ones((3, 3, 3), bool)


@dataclass(frozen=True, kw_only=True)
class IslandConfig:
    """An island is at least `reach_mm` from its body and has less than `largest_share` of the body's voxels."""

    reach_mm: float = 6.0
    largest_share: float = 0.5

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise ConfigError(f"IslandConfig.{name} must be above 0; got {value!r}")


def without_islands(
    rows: NDArray[np.float32],
    mask: NDArray[np.bool_],
    spacing_mm: NDArray[np.float64],
    scheme: LabelScheme,
    config: IslandConfig,
) -> NDArray[np.float32]:
    """Make the classes of islands impossible there.

    Parameters
    ----------
    rows : (V, C) float32
        Probability of each class, background first, at the voxels of the mask in the order of `np.argwhere(mask)`.
    mask : (I, J, K) bool
        V voxels.
    spacing_mm : (3,) float64
        Voxel size.
    scheme : LabelScheme
        The protocol of the C classes.
    config : IslandConfig
        What counts as an island.

    Returns
    -------
    (V, C) float32
        A copy; where an island was, its class has probability 0 and the others share what it had. A piece that
        becomes an island of its new class is treated in the same way, until there is none.

    Notes
    -----
    Source: ours (decision 0026).
    """
    if scheme.name not in IN_PIECES:
        return rows
    whole = {c for c, name in enumerate(scheme.names) if c and name not in IN_PIECES[scheme.name]}
    certain_background = np.eye(1, rows.shape[1], dtype=np.float32)
    row_of = np.cumsum(mask).reshape(mask.shape) - 1
    classes = np.zeros(mask.shape, np.int32)
    classes[mask] = rows.argmax(axis=1)
    rows, waiting = rows.copy(), set(whole)
    while waiting:
        c = min(waiting)
        waiting.remove(c)
        islands = _islands_of(classes == c, spacing_mm, config)
        here = row_of[islands]
        rows[here, c] = 0
        left = rows[here].sum(axis=1, keepdims=True)
        rows[here] = np.where(left > 0, rows[here] / np.where(left > 0, left, 1), certain_background)
        classes[islands] = rows[here].argmax(axis=1)
        waiting |= set(classes[islands].tolist()) & whole
    return rows


def _islands_of(
    structure: NDArray[np.bool_], spacing_mm: NDArray[np.float64], config: IslandConfig
) -> NDArray[np.bool_]:
    """Return where a structure (I, J, K) has islands."""
    islands = np.zeros_like(structure)
    (box,) = ndimage.find_objects(structure.astype(np.uint8)) or (None,)
    if box is None:
        return islands
    pieces, n_pieces = ndimage.label(structure[box], TOGETHER)
    sizes = np.bincount(pieces.ravel(), minlength=n_pieces + 1)[1:]
    body = 1 + int(sizes.argmax())
    for piece, around in enumerate(ndimage.find_objects(pieces), start=1):
        if piece == body or sizes[piece - 1] >= config.largest_share * sizes[body - 1]:
            continue
        reach = [int(np.ceil(config.reach_mm / step)) for step in spacing_mm]
        near = tuple(slice(max(edge.start - r, 0), edge.stop + r) for edge, r in zip(around, reach, strict=True))
        is_body = pieces[near] == body
        if is_body.any():
            far_mm = ndimage.distance_transform_edt(~is_body, sampling=spacing_mm)[pieces[near] == piece].min()
        else:
            far_mm = np.inf
        if far_mm >= config.reach_mm:
            islands[box][pieces == piece] = True
    return islands
