"""A small picture of one result for the page of a cohort: three planes, structures in their colours."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from neuronat.labels.luts import rgb_of
from neuronat.labels.scheme import LabelScheme
from neuronat.report.planes import Plane
from neuronat.report.png import encode_png
from neuronat.report.slices import cut_stack, grey_window, to_pixels
from neuronat.space.volume import LabelMap, Volume

__all__ = ["draw_thumbnail"]

PIXEL_MM = 1.6
TILE = (124, 124)  # rows and columns, 198 mm, for every scan, so that sizes compare
OPACITY = 0.4


def draw_thumbnail(image: Volume, mask: NDArray[np.bool_], labels: LabelMap) -> bytes:
    """Draw the planes through the middle of a brain side by side, all scans at one scale.

    Parameters
    ----------
    image : Volume
        Grey values.
    mask : (I, J, K) bool
        Brain mask on the same grid; nothing further than 5 mm from it is shown.
    labels : LabelMap
        Labels on the same grid.

    Returns
    -------
    bytes
        A PNG file of 372 x 124 pixels: coronal, axial, sagittal.

    Raises
    ------
    GridError
        If image and labels lie on different grids.

    Notes
    -----
    Source: ours.
    """
    planes = tuple(cut_stack(image, mask, labels, n_slices=0).middle.values())
    window = grey_window(planes)
    return encode_png(np.hstack([_tile(plane, labels.scheme, window) for plane in planes]))


def _tile(plane: Plane, scheme: LabelScheme, window: tuple[float, float]) -> NDArray[np.uint8]:
    """Return (H, W, 3) pixels of one plane: its middle in the middle, the first row at the top."""
    n_rows, n_columns = TILE
    extents, steps = np.array(plane.values.shape), np.array(plane.spacing_mm) / PIXEL_MM
    across, up = (
        (np.arange(n) - (n - 1) / 2) / step + (extent - 1) / 2
        for n, step, extent in zip((n_columns, n_rows), steps, extents, strict=True)
    )
    places = np.meshgrid(across, up, indexing="ij")
    sampled = replace(plane, values=ndimage.map_coordinates(plane.values, places, order=1))
    grey = to_pixels(sampled, window)[..., None].astype(np.float64)
    ids = np.zeros(TILE, np.int16)
    if plane.ids is not None:
        ids = ndimage.map_coordinates(plane.ids, places, order=0).T[::-1]
    colours = np.array([rgb_of(colour) for colour in scheme.colours])[scheme.classes_of(ids)]
    opacity = np.where(ids != 0, OPACITY, 0)[..., None]
    pixels: NDArray[np.uint8] = np.rint((1 - opacity) * grey + opacity * colours).astype(np.uint8)
    return pixels
