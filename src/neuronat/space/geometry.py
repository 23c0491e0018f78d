"""Which affine a file means: the choice between its two forms, and what the user should know about it.

A NIfTI file may carry two voxel-to-world matrices, **sform** and **qform**; a code of 0 says that one is not
set. Errors name no file; `space.files` adds it.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import GridError, UnusableInputError
from neuronat.space.affine import axis_codes, corners_mm, shear_degrees, spacing_mm

__all__ = ["Forms", "Placement", "choose_affine", "default_mgh_affine", "grid_warnings", "lettered_affine"]

MOST_APART_MM = 1.0
MOST_APART_DEGREES = 1.0
LEAST_VOXELS, LEAST_THICK_VOXELS = 32, 16
LEAST_MM = 40.0
BRAIN_MM = 120.0
"""What shows most of a brain, however thick its slices are."""
MOST_MM = 1000.0
WIDE_MM = 256.0
THICK_MM = 2.0
MOST_THICK_MM = 7.0
MM_PER_UNIT = {1: (1000.0, "metres"), 3: (0.001, "microns")}


@dataclass(frozen=True, eq=False, kw_only=True)
class Forms:
    """The matrices of a header: None where a form is not set; `fallback` is the convention without both."""

    sform: NDArray[np.float64] | None
    sform_code: int
    qform: NDArray[np.float64] | None
    qform_code: int
    fallback: NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Placement:
    """The affine chosen (mm, RAS+), its NIfTI code, and the warnings on the way."""

    affine: NDArray[np.float64]
    space_code: int
    is_orientation_known: bool
    warnings: tuple[str, ...]


def choose_affine(
    forms: Forms,
    shape: tuple[int, int, int],
    *,
    pixdim: tuple[float, ...],
    unit_code: int = 2,
    use_form: str | None = None,
) -> Placement:
    """Choose the affine of a file.

    Parameters
    ----------
    forms : Forms
        The matrices of the header.
    shape : (I, J, K)
        Extents of the volume.
    pixdim : tuple of 3 float
        The header's own spacing.
    unit_code : int
        1 metre, 2 mm, 3 micron; anything else is taken for mm.
    use_form : str or None
        `sform` or `qform` where the user decides.

    Returns
    -------
    Placement
        The sform where it is set and can be used, then the qform, then the fallback with a loud warning.

    Raises
    ------
    GridError
        If no form can be used, or the two are mirror images of each other and the user has not decided.

    Notes
    -----
    Source: ours.
    """
    require_spacing(pixdim, forms)
    usable = {name: _usable(name, forms, pixdim) for name in ("sform", "qform")}
    if use_form is not None and usable[use_form] is None:
        raise GridError(f"has no usable {use_form}; leave out --use-form {use_form}")
    chosen = use_form or ("sform" if usable["sform"] is not None else "qform")
    affine = usable[chosen]
    if affine is None:
        placement = _without_forms(forms, pixdim)
    else:
        code = forms.sform_code if chosen == "sform" else forms.qform_code
        mm_per_unit = MM_PER_UNIT.get(unit_code, (1.0, ""))[0]
        warnings = _compare_forms(
            forms, usable, shape, chosen, is_decided=use_form is not None, mm_per_unit=mm_per_unit
        )
        warnings += _compare_spacing(affine, pixdim)
        placement = Placement(affine=affine, space_code=code, is_orientation_known=True, warnings=warnings)
    return _in_mm(placement, unit_code)


def require_spacing(pixdim: tuple[float, ...], forms: Forms) -> None:
    """Raise GridError for a spacing that is negative, not a number, or 0 without an sform to replace it."""
    if not all(math.isfinite(p) and p >= 0 for p in pixdim):
        raise GridError(f"header claims a voxel spacing (pixdim) of {_listed(pixdim)}; repair the header")
    if 0 in pixdim and (forms.sform is None or not _is_invertible(forms.sform)):
        raise GridError(
            f"header claims a voxel spacing (pixdim) of {_listed(pixdim)} and has no usable sform; repair it"
        )


def grid_warnings(affine: NDArray[np.float64], shape: tuple[int, int, int], *, force: bool) -> tuple[str, ...]:
    """Return what is odd about the grid of a scan; refuse one that cannot hold a brain, unless forced.

    Parameters
    ----------
    affine : (4, 4) float64
        Voxel to world mm.
    shape : (I, J, K)
        Extents in voxels.
    force : bool
        Warn instead of refusing, where that is possible.

    Returns
    -------
    tuple of str
        Lines for the user.

    Raises
    ------
    UnusableInputError
        If the field of view is too small, too large to be of this world, or the slices are too thick.

    Notes
    -----
    Source: ours.
    """
    spacing = spacing_mm(affine)
    extents_mm = spacing * shape
    seen = f"{_listed(shape)} voxels of {_listed(spacing)} mm"
    if extents_mm.max() > MOST_MM:
        raise UnusableInputError(f"{seen} is more than a metre; repair the voxel size in the header")
    refusals, warnings = [], []
    is_seen = np.array(shape) >= np.where(extents_mm >= BRAIN_MM, LEAST_THICK_VOXELS, LEAST_VOXELS)
    if not is_seen.all() or extents_mm.min() < LEAST_MM - 1e-3:
        refusals.append(f"{seen}: field of view too small for a brain")
    if spacing.max() > MOST_THICK_MM:
        refusals.append(f"{seen}: slices thicker than {MOST_THICK_MM:g} mm hide most structures")
    elif spacing.max() > THICK_MM:
        warnings.append(f"thick slices ({spacing.max():.3g} mm): volumes are less certain")
    if refusals and not force:
        raise UnusableInputError(f"{refusals[0]}; give a whole 3D scan, or use --force")
    if extents_mm.max() > WIDE_MM + 1:
        warnings.append(f"field of view of {extents_mm.max():.0f} mm: more than a head")
    if (shear := shear_degrees(affine)) > 0.1:
        warnings.append(f"voxel axes are sheared by {shear:.1f} degrees; resampled with the true affine")
    return tuple(refusals + warnings)


def lettered_affine(letters: str, shape: tuple[int, int, int], pixdim: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the affine of axes that grow towards `letters`, with the world's origin in the volume's centre.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> lettered_affine("LAS", (3, 5, 7), (1.0, 2.0, 3.0))[:3].tolist()
    [[-1.0, 0.0, 0.0, 1.0], [0.0, 2.0, 0.0, -4.0], [0.0, 0.0, 3.0, -9.0]]
    """
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, letter in enumerate(letters):
        affine["RLAPSI".index(letter) // 2, axis] = pixdim[axis] * (1 if letter in "RAS" else -1)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def default_mgh_affine(extents: tuple[int, ...]) -> NDArray[np.float64]:
    """Return what FreeSurfer takes for granted without a flag: 1 mm, LIA (nibabel 5.4.2 turns it upside down)."""
    i, j, k = extents[:3]
    affine = lettered_affine("LIA", (i, j, k), (1.0, 1.0, 1.0))
    affine[:3, 3] -= affine[:3, :3].sum(axis=1) / 2
    return affine


def _usable(name: str, forms: Forms, pixdim: tuple[float, ...]) -> NDArray[np.float64] | None:
    """Return the form called `name` if it is set and can be used."""
    matrix = forms.sform if name == "sform" else forms.qform
    if matrix is None or not _is_invertible(matrix) or (name == "qform" and 0 in pixdim):
        return None
    return matrix


def _is_invertible(matrix: NDArray[np.float64]) -> bool:
    """Tell whether a matrix is finite, and takes a voxel to a box that is neither flat nor vast."""
    if not np.isfinite(matrix).all() or np.abs(matrix).max() > 1e6:
        return False
    sizes = spacing_mm(matrix)
    return bool(sizes.min() > 1e-5 and abs(np.linalg.det(matrix[:3, :3])) > 1e-3 * sizes.prod())


def _without_forms(forms: Forms, pixdim: tuple[float, ...]) -> Placement:
    """Fall back on the convention, if no form was meant to be used."""
    if forms.sform_code or forms.qform_code:
        raise GridError("sform and qform are singular, not finite or not set; repair the header")
    if not _is_invertible(forms.fallback):
        raise GridError(f"voxel spacing {_listed(pixdim)} cannot be used; repair the header")
    codes = axis_codes(forms.fallback)
    warning = f"orientation is not stored: taken as {codes} by convention, LEFT AND RIGHT ARE UNPROVEN"
    return Placement(affine=forms.fallback, space_code=0, is_orientation_known=False, warnings=(warning,))


def _compare_forms(
    forms: Forms,
    usable: dict[str, NDArray[np.float64] | None],
    shape: tuple[int, int, int],
    chosen: str,
    *,
    is_decided: bool,
    mm_per_unit: float,
) -> tuple[str, ...]:
    """Say whether the two forms agree; refuse mirror images unless the user has decided."""
    sform, qform = usable["sform"], usable["qform"]
    if sform is None or qform is None:
        if forms.sform_code and sform is None:
            return ("the sform is singular or not finite: the qform is used",)
        return ("the qform cannot be used: the sform is",) if forms.qform_code and qform is None else ()
    if np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3]) < 0 and not is_decided:
        raise GridError("sform and qform are mirror images of each other; decide with --use-form sform or qform")
    apart_mm = mm_per_unit * float(np.linalg.norm(corners_mm(sform, shape) - corners_mm(qform, shape), axis=1).max())
    cosines = (sform[:3, :3] / spacing_mm(sform) * (qform[:3, :3] / spacing_mm(qform))).sum(axis=0)
    apart_degrees = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
    if apart_mm <= MOST_APART_MM and apart_degrees <= MOST_APART_DEGREES:
        return ()
    return (
        f"sform and qform disagree by up to {apart_mm:.1f} mm and {apart_degrees:.1f} degrees: "
        f"the {chosen} is used, other tools may use the other",
    )


def _compare_spacing(affine: NDArray[np.float64], pixdim: tuple[float, ...]) -> tuple[str, ...]:
    """Say whether the header's own spacing is that of the affine."""
    spacing = spacing_mm(affine)
    if (np.abs(np.array(pixdim) - spacing) <= 0.01 * spacing).all():
        return ()
    return (f"header spacing {_listed(pixdim)} differs from the affine's {_listed(spacing)}: the affine is used",)


def _in_mm(placement: Placement, unit_code: int) -> Placement:
    """Convert metres and microns."""
    if unit_code not in MM_PER_UNIT:
        return placement
    factor, name = MM_PER_UNIT[unit_code]
    affine = placement.affine.copy()
    affine[:3] *= factor
    if abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise GridError(f"header gives lengths in {name}, which makes the voxels vanish; repair the unit")
    warning = f"header gives lengths in {name}: converted to mm"
    return replace(placement, affine=affine, warnings=(*placement.warnings, warning))


def _listed(numbers: tuple[float, ...] | NDArray[np.float64]) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)
