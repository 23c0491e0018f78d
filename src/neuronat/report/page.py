"""One self-contained page about one scan: pictures, volumes, doubts, and how it came about.

The page asks the network for nothing: style and pictures are in it, scripts are not, and its content security
policy forbids everything else.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from neuronat import __version__
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.agreement import Agreement, agreement_summary
from neuronat.measure.sides import PairedVolume, pair_volumes
from neuronat.measure.volumes import StructureVolume
from neuronat.report.contours import trace_outlines
from neuronat.report.planes import Plane
from neuronat.report.png import encode_png
from neuronat.report.slices import cut_stack, grey_window, shrink_plane, to_pixels
from neuronat.space.affine import spacing_mm, voxel_volume_mm3
from neuronat.space.volume import LabelMap, Volume

__all__ = ["PageContent", "Picture", "ProtocolPage", "render_page"]

N_SLICES = 8
MIDDLE_PIXELS, SERIES_PIXELS = 384, 230
MOST_OPEN_ROWS = 40
VERDICTS = {
    "pass": "Nothing unusual was found.",
    "review": "Look at this result before you use it.",
    "fail": "Do not use this result as it is.",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class PageContent:
    """What a page tells: image, mask and labels on one grid, numbers by protocol, verdict, provenance.

    `confidence` holds a number in [0, 1] per structure id and protocol, where it is known. The first protocol is
    shown large.
    """

    title: str
    image: Volume
    mask: NDArray[np.bool_]
    labels: Mapping[str, LabelMap]
    volumes: Mapping[str, Sequence[StructureVolume]]
    verdict: str
    reasons: Sequence[str]
    warnings: Sequence[str]
    provenance: Mapping[str, Any]
    confidence: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    agreement: Agreement | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A slice as the template draws it: a grey picture, outlines (name, colour, path) over it, letters around it."""

    plane: str
    position: str
    width_mm: float
    height_mm: float
    pixel_mm: tuple[float, float]
    png: str
    outlines: tuple[tuple[str, str, str], ...]
    letters: tuple[str, str, str, str]


@dataclass(frozen=True, kw_only=True)
class ProtocolPage:
    """What the page shows of one protocol."""

    name: str
    middle: tuple[Picture, ...]
    series: Mapping[str, tuple[Picture, ...]]
    rows: tuple[PairedVolume, ...]
    colours: Mapping[int, str]
    confidence: Mapping[int, float]
    n_found: int

    @property
    def has_sides(self) -> bool:
        """Whether any structure lies on a side."""
        return any(row.middle is None for row in self.rows)

    @property
    def is_long(self) -> bool:
        """Whether the table is folded at first."""
        return len(self.rows) > MOST_OPEN_ROWS


def render_page(content: PageContent) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    content : PageContent
        What to show.

    Returns
    -------
    str
        A whole document. The same content gives the same text: no date, no path, no name of a machine.

    Raises
    ------
    GridError
        If image and labels lie on different grids.

    Notes
    -----
    Source: ours (decision 0018).
    """
    protocols = [_protocol_page(content, name, is_first=number == 0) for number, name in enumerate(content.labels)]
    style = _asset("page.css")
    return _template().render(
        content=content,
        protocols=protocols,
        agreement=_agreement_rows(content.agreement),
        summary=agreement_summary(content.agreement) if content.agreement else None,
        said=VERDICTS.get(content.verdict, ""),
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        version=__version__,
        brain_ml=float(np.count_nonzero(content.mask)) * voxel_volume_mm3(content.image.affine) / 1000,
        step_mm=spacing_mm(content.image.affine).tolist(),
    )


def _agreement_rows(agreement: Agreement | None) -> list[tuple[str, float, float | None, float, str]]:
    """Rows of the largest group: structure, mean Dice, least (None: not found by one) and most mm3, who differs."""
    rows = []
    for structure in agreement.structures if agreement else ():
        volumes = [mm3 for pair in structure.pairs for mm3 in pair.volumes_mm3]
        known = [mm3 for mm3 in volumes if mm3 is not None]
        least = min(known) if known == volumes and known else None
        if agreement and structure.scheme == agreement.scheme and structure.mean_dice is not None:
            rows.append((structure.name, structure.mean_dice, least, max(known), structure.apart))
    return sorted(rows, key=lambda row: row[1])


def _protocol_page(content: PageContent, protocol: str, *, is_first: bool) -> ProtocolPage:
    """Draw the slices of one protocol and pair its volumes; only the first gets the whole series."""
    labels = content.labels[protocol]
    stack = cut_stack(content.image, content.mask, labels, n_slices=N_SLICES if is_first else 0)
    window = grey_window(list(stack.middle.values()))
    rows = content.volumes[protocol]
    return ProtocolPage(
        name=protocol,
        middle=tuple(
            _picture(plane, labels.scheme, window, most_pixels=MIDDLE_PIXELS) for plane in stack.middle.values()
        ),
        series={
            name: tuple(_picture(plane, labels.scheme, window, most_pixels=SERIES_PIXELS) for plane in planes)
            for name, planes in stack.series.items()
        },
        rows=pair_volumes(rows),
        colours=dict(zip(labels.scheme.ids, labels.scheme.colours, strict=True)),
        confidence=content.confidence.get(protocol, {}),
        n_found=sum(1 for row in rows if row.n_voxels),
    )


def _picture(plane: Plane, scheme: LabelScheme, window: tuple[float, float], *, most_pixels: int) -> Picture:
    """Turn a plane into what the template draws."""
    small = shrink_plane(plane, most_pixels)
    names = dict(zip(scheme.ids, zip(scheme.names, scheme.colours, strict=True), strict=True))
    paths = trace_outlines(small.ids[:, ::-1]) if small.ids is not None else {}
    across, up = small.spacing_mm
    return Picture(
        plane=plane.name,
        position=plane.position,
        width_mm=round(small.values.shape[0] * across, 2),
        height_mm=round(small.values.shape[1] * up, 2),
        pixel_mm=(across, up),
        png=base64.b64encode(encode_png(to_pixels(small, window))).decode(),
        outlines=tuple((*names[index], path) for index, path in paths.items()),
        letters=plane.letters,
    )


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    """Compile the template; every value is escaped, and a name that is not there is an error."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["ml"] = _ml
    environment.filters["signed"] = lambda percent: f"{percent:+z.1f}".replace("-", "\N{MINUS SIGN}")
    return environment.from_string(_asset("page.html"))


def _ml(volume_mm3: float | None) -> str:
    """Show a volume in ml, as exactly as it is worth reading."""
    return "n/a" if volume_mm3 is None else f"{volume_mm3 / 1000:.2f}"


def _asset(name: str) -> str:
    return (files("neuronat.report") / "assets" / name).read_text(encoding="utf-8")
