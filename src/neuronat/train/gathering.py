"""From scans, label maps and whole-head label maps on disk to packed volumes: prepared, given coordinates, aged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.coords.spectral import brain_coordinates
from neuronat.errors import LabelError
from neuronat.labels.scheme import BRAIN, LabelScheme
from neuronat.prepare.conform import labels_to_working, mask_to_working, plan_grid
from neuronat.prepare.mask import require_stripped_mask
from neuronat.prepare.scan import crop_box, prepare_scan
from neuronat.record import stem_of
from neuronat.space.files import read_label_map, read_mask, read_volume
from neuronat.synth.ageing import ageing_fields, is_ageing_ventricle
from neuronat.synth.paint import FIRST_OUTSIDE, brain_of
from neuronat.train.protocols import ProtocolScan
from neuronat.train.teaching import Protocol, read_labels
from neuronat.train.volumes import GREY_STEP, PackedVolume

__all__ = ["pack_head", "pack_protocol_scan"]

MOST_GREY = 2.55


def pack_protocol_scan(scan: ProtocolScan, sources: Mapping[str, LabelScheme], mask_ending: str) -> PackedVolume:
    """Prepare a stripped scan as `segment` does, with every label map of a known scheme.

    Parameters
    ----------
    scan : ProtocolScan
        Its files.
    sources : mapping of str to LabelScheme
        The label maps wanted; a scan may lack any. That of `brain` is the mask.
    mask_ending : str
        What the name of the scan's mask has after the stem; where there is no such file, what is not background is
        brain.

    Returns
    -------
    PackedVolume
        On the working grid, cropped to the mask.

    Raises
    ------
    GridError, LabelError, UnusableInputError
        If a label map does not fit (`train.teaching.read_labels`), or the scan has none that is wanted.

    Notes
    -----
    Source: ours.
    """
    volume = read_volume(scan.scan).volume
    beside = scan.scan.with_name(scan.name + mask_ending)
    mask = read_mask(beside).values > 0 if mask_ending and beside.is_file() else require_stripped_mask(volume)
    prepared = prepare_scan(volume, mask)
    labels = read_labels(scan, {name: Protocol(scheme, scheme) for name, scheme in sources.items()})
    if not labels and BRAIN not in sources:
        raise LabelError(f"{scan.name}: has no label map of {', '.join(sources)}; leave it out or add one")
    maps = {
        name: _packed_ids(labels_to_working(found.ids, prepared.grid)[prepared.box], found.scheme)
        for name, found in labels.items()
    }
    if BRAIN in sources:
        maps[BRAIN] = prepared.mask.astype(np.int16)
    return PackedVolume(
        name=scan.name,
        mask=prepared.mask,
        maps=maps,
        grey=np.round(np.clip(prepared.intensities, 0, MOST_GREY) / GREY_STEP).astype(np.uint8),
        ageing=_ageing(maps, sources),
        coordinates=_extended(brain_coordinates(prepared.mask, prepared.affine), prepared.mask),
    )


def pack_head(path: Path, scheme: LabelScheme, *, is_cropped: bool) -> PackedVolume:
    """Pack the label map of a whole head; its brain is what has an id of the brain, closed and filled.

    Parameters
    ----------
    path : Path
        The label map.
    scheme : LabelScheme
        `wholehead`.
    is_cropped : bool
        Keep the brain's box only, for networks that see stripped brains.

    Returns
    -------
    PackedVolume
        Without grey values: these are painted.

    Notes
    -----
    Source: ours.
    """
    labels = read_label_map(path, scheme)
    i, j, k = labels.ids.shape
    grid = plan_grid(labels.affine, (i, j, k))
    ids = _packed_ids(labels_to_working(labels.ids, grid), scheme)
    mask = mask_to_working(brain_of(labels.ids), grid)
    box = crop_box(mask) if is_cropped else (slice(None), slice(None), slice(None))
    ids, mask = np.ascontiguousarray(ids[box]), np.ascontiguousarray(mask[box])
    maps = {scheme.name: ids}
    return PackedVolume(
        name=stem_of(path),
        mask=mask,
        maps=maps,
        ageing=_ageing(maps, {scheme.name: scheme}),
        coordinates=_extended(brain_coordinates(mask, grid.affine), mask),
    )


def _ageing(
    maps: Mapping[str, NDArray[np.signedinteger]], schemes: Mapping[str, LabelScheme]
) -> NDArray[np.float16] | None:
    """Ageing fields where a label map names the ventricles; sulci are other fluid, if a map knows it."""
    for protocol, ids in maps.items():
        names = schemes[protocol].name_of
        ventricles = np.isin(ids, [index for index, name in names.items() if is_ageing_ventricle(name)])
        if ventricles.any():
            fluid = maps["tissue"] == 1 if "tissue" in maps else ids == 24
            return ageing_fields(ventricles, fluid & ~ventricles & (ids < FIRST_OUTSIDE))
    return None


def _packed_ids(ids: NDArray[np.int32], scheme: LabelScheme) -> NDArray[np.signedinteger]:
    """Return ids in the type that holds those of the scheme in the least memory."""
    return ids.astype(np.int16) if max(scheme.ids) <= np.iinfo(np.int16).max else ids


def _extended(coordinates: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float16]:
    """Give voxels outside the brain the (6, I, J, K) coordinates of the nearest one inside: for masks a little off."""
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    extended: NDArray[np.float16] = coordinates.astype(np.float16)[:, nearest[0], nearest[1], nearest[2]]
    return extended
