"""Colour tables of a scheme in the forms that viewers read: FreeView, ITK-SNAP and FSLeyes."""

from collections.abc import Iterator

from neuronat.labels.scheme import LabelScheme

__all__ = ["freeview_lut", "fsleyes_lut", "itksnap_labels", "lut_files", "rgb_of"]

ITKSNAP_HEAD = "# Label description for ITK-SNAP: IDX R G B A VIS MSH LABEL\n"


def lut_files(scheme: LabelScheme) -> dict[str, str]:
    """Return the colour tables of a scheme by the name of their file.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> from neuronat.labels.scheme import load_scheme
    >>> list(lut_files(load_scheme("deepnat25")))
    ['seg-deepnat25_freeview.txt', 'seg-deepnat25_itksnap.label', 'seg-deepnat25_fsleyes.lut']
    """
    return {
        f"seg-{scheme.name}_freeview.txt": freeview_lut(scheme),
        f"seg-{scheme.name}_itksnap.label": itksnap_labels(scheme),
        f"seg-{scheme.name}_fsleyes.lut": fsleyes_lut(scheme),
    }


def freeview_lut(scheme: LabelScheme) -> str:
    """Return a FreeSurfer colour table: id, name without blanks, red, green, blue, 0."""
    lines = ["#No. Label Name:                            R   G   B   A"]
    for index, name, (red, green, blue) in _rows(scheme):
        lines.append(f"{index:<4d} {'-'.join(name.split()):<40s} {red:3d} {green:3d} {blue:3d}   0")
    return "\n".join(lines) + "\n"


def itksnap_labels(scheme: LabelScheme) -> str:
    """Return a label description for ITK-SNAP; the background is clear and hidden."""
    lines = []
    for index, name, (red, green, blue) in _rows(scheme):
        shown = "0 0 0" if index == 0 else "1 1 1"
        label = "Clear Label" if index == 0 else name.replace('"', "'")
        lines.append(f'{index:5d} {red:3d} {green:3d} {blue:3d} {shown} "{label}"')
    return ITKSNAP_HEAD + "\n".join(lines) + "\n"


def fsleyes_lut(scheme: LabelScheme) -> str:
    """Return a look-up table for FSLeyes: id, red, green, blue in [0, 1], name; the background left out."""
    lines = [
        f"{index} {red / 255:.5f} {green / 255:.5f} {blue / 255:.5f} {name}"
        for index, name, (red, green, blue) in _rows(scheme)
        if index
    ]
    return "\n".join(lines) + "\n"


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255 each, of a colour such as `#ff8000`.

    Notes
    -----
    Source: ours.
    """
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _rows(scheme: LabelScheme) -> Iterator[tuple[int, str, tuple[int, int, int]]]:
    """Yield id, name and colour of each structure, ids rising."""
    for index, name, colour in sorted(zip(scheme.ids, scheme.names, scheme.colours, strict=True)):
        yield index, name, rgb_of(colour)
