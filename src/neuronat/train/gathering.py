"""From scans, label maps and whole-head label maps on disk to packed volumes: prepared, given coordinates, aged."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuronat.coords.spectral import brain_coordinates
from neuronat.errors import GridError, LabelError
from neuronat.labels.scheme import LabelScheme
from neuronat.prepare.conform import labels_to_working, mask_to_working, plan_grid
from neuronat.prepare.mask import require_stripped_mask
from neuronat.prepare.scan import crop_box, prepare_scan
from neuronat.record import stem_of
from neuronat.space.files import read_label_map, read_mask, read_volume
from neuronat.space.volume import LabelMap
from neuronat.synth.ageing import ageing_fields
from neuronat.synth.paint import FIRST_OUTSIDE, brain_of
from neuronat.train.protocols import ProtocolScan
from neuronat.train.volumes import GREY_STEP, PackedVolume

__all__ = ["pack_head", "pack_protocol_scan"]

MOST_GREY = 2.55


def pack_protocol_scan(
    scan: ProtocolScan, schemes: Mapping[str, LabelScheme], mask_ending: str, scan_ending: str
) -> PackedVolume:
    """Prepare a stripped scan as `segment` does, with every label map of a known scheme.

    Parameters
    ----------
    scan : ProtocolScan
        Its files.
    schemes : mapping of str to LabelScheme
        The protocols wanted; a scan may lack any.
    mask_ending, scan_ending : str
        A mask of the scan's name with the one ending in the place of the other is used if it is there; else what is
        not background is brain.

    Returns
    -------
    PackedVolume
        On the working grid, cropped to the mask.

    Raises
    ------
    GridError
        If a label map is not on the scan's grid.
    LabelError
        If the scan has no label map that is wanted, a map holds unknown ids, or a single one.

    Notes
    -----
    Source: ours.
    """
    volume = read_volume(scan.scan).volume
    beside = scan.scan.with_name(scan.scan.name.removesuffix(scan_ending) + mask_ending)
    mask = read_mask(beside).values > 0 if mask_ending and beside.is_file() else require_stripped_mask(volume)
    prepared = prepare_scan(volume, mask)
    maps = {}
    for protocol, paths in scan.maps.items():
        if protocol not in schemes:
            continue
        labels = read_label_map(paths[0], schemes[protocol])
        _require_fit(labels, volume.affine, volume.values.shape, paths[0].name)
        maps[protocol] = labels_to_working(labels.ids, prepared.grid)[prepared.box].astype(np.int16)
    if not maps:
        raise LabelError(f"{scan.name}: has no label map of {', '.join(schemes)}; leave it out or add one")
    return PackedVolume(
        name=scan.name,
        mask=prepared.mask,
        maps=maps,
        grey=np.round(np.clip(prepared.intensities, 0, MOST_GREY) / GREY_STEP).astype(np.uint8),
        ageing=_ageing(maps, schemes),
        coordinates=brain_coordinates(prepared.mask, prepared.affine).astype(np.float16),
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
    ids = labels_to_working(labels.ids, grid).astype(np.int16)
    mask = mask_to_working(brain_of(labels.ids), grid)
    box = crop_box(mask) if is_cropped else (slice(None), slice(None), slice(None))
    ids, mask = np.ascontiguousarray(ids[box]), np.ascontiguousarray(mask[box])
    maps = {scheme.name: ids}
    return PackedVolume(
        name=stem_of(path),
        mask=mask,
        maps=maps,
        ageing=_ageing(maps, {scheme.name: scheme}),
        coordinates=brain_coordinates(mask, grid.affine).astype(np.float16),
    )


def _ageing(maps: Mapping[str, NDArray[np.int16]], schemes: Mapping[str, LabelScheme]) -> NDArray[np.float16] | None:
    """Ageing fields where a label map names the ventricles; sulci are other fluid, if a map knows it."""
    for protocol, ids in maps.items():
        names = schemes[protocol].names
        ventricles = np.isin(ids, [i for i, name in zip(schemes[protocol].ids, names, strict=True) if _is_inner(name)])
        if ventricles.any():
            fluid = maps["tissue"] == 1 if "tissue" in maps else ids == 24
            return ageing_fields(ventricles, fluid & ~ventricles & (ids < FIRST_OUTSIDE))
    return None


def _is_inner(name: str) -> bool:
    """Tell whether a structure's name is that of a ventricle that grows with age."""
    plain = name.lower().replace("-", " ")
    return "4th" not in plain and ("ventricle" in plain or "lat vent" in plain)


def _require_fit(labels: LabelMap, affine: NDArray[np.float64], shape: tuple[int, ...], name: str) -> None:
    """Raise GridError or LabelError unless a label map lies on a grid and holds more than one id."""
    if labels.ids.shape != shape or not np.allclose(labels.affine, affine, atol=1e-3):
        raise GridError(f"{name}: not on the grid of its scan; resample it to that grid first")
    if labels.ids.min() == labels.ids.max():
        raise LabelError(f"{name}: holds nothing but id {labels.ids.min()}; training needs labels")
