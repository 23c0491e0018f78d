"""The template of a model: a mean brain, and how often each class of a protocol lay at each of its voxels.

It is made from scans with label maps, as networks are, and travels with them (`template.safetensors.gz`). No scan can
be read from it: grey values and labels are means over all of them, after each was deformed onto their common shape.
"""

import gzip
import zlib
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from neuronat.errors import ModelError
from neuronat.nets.folder import TEMPLATE

__all__ = ["Template", "template_from_bytes", "template_to_bytes"]

MAX_BYTES = 2**28
GREY_STEP = 1 / 160
"""Grey values are stored as bytes in steps of this: white matter has 1."""


@dataclass(frozen=True, eq=False)
class Template:
    """A mean brain: `grey` (I, J, K) float32 as scans are prepared, 0 outside, on a grid of 1 mm, RAS.

    At the V voxels of `inside` (I, J, K) bool, in the order of `np.argwhere`, `classes` (V, T) uint8 are the most
    frequent classes of a protocol, the first one first, and `shares` (V, T) uint8 how frequent they were, in 255ths.
    """

    grey: NDArray[np.float32]
    inside: NDArray[np.bool_]
    classes: NDArray[np.uint8]
    shares: NDArray[np.uint8]

    def __post_init__(self) -> None:
        n_voxels = int(self.inside.sum())
        if self.grey.ndim != 3 or self.grey.shape != self.inside.shape or not n_voxels:
            raise ModelError(f"a template needs grey values on the grid of its brain; got {self.grey.shape}")
        if self.classes.ndim != 2 or self.classes.shape != self.shares.shape or len(self.classes) != n_voxels:
            raise ModelError(f"a template of {n_voxels} voxels has classes of shape {self.classes.shape}")


def template_to_bytes(template: Template) -> bytes:
    """Write a template as a safetensors file, packed; grey values are rounded to bytes.

    Notes
    -----
    Source: ours (decision 0043).
    """
    tensors = {
        "grey": np.clip(np.rint(template.grey / GREY_STEP), 0, 255).astype(np.uint8),
        "inside": template.inside.astype(np.uint8),
        "classes": np.ascontiguousarray(template.classes),
        "shares": np.ascontiguousarray(template.shares),
    }
    return gzip.compress(safetensors.numpy.save(tensors), mtime=0)


def template_from_bytes(content: bytes) -> Template:
    """Read a template from the bytes of a packed safetensors file.

    Raises
    ------
    ModelError
        If the file is damaged, or its tensors are not those of a template.

    Notes
    -----
    Source: ours (decision 0043).
    """
    try:
        tensors = safetensors.numpy.load(_unpacked(content))
    except (SafetensorError, zlib.error, ValueError, KeyError) as error:
        raise ModelError(f"{TEMPLATE} is damaged: {error}") from error
    if set(tensors) != {"grey", "inside", "classes", "shares"} or any(t.dtype != np.uint8 for t in tensors.values()):
        raise ModelError(f"{TEMPLATE} does not hold the tensors of a template")
    return Template(
        grey=tensors["grey"].astype(np.float32) * np.float32(GREY_STEP),
        inside=tensors["inside"] > 0,
        classes=tensors["classes"],
        shares=tensors["shares"],
    )


def _unpacked(content: bytes) -> bytes:
    """Unpack a gzip file, unless it is cut or larger than a template can be."""
    stream = zlib.decompressobj(wbits=31)
    unpacked = stream.decompress(content, MAX_BYTES)
    if not stream.eof:
        raise ValueError("it ends too early, or is too large")
    return unpacked
