"""Which contrast the words of a header, a sidecar or a file name promise: T1, or one that must not be taken for it.

Names of protocols are written by people. What several contrasts claim, or none, is left undecided.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.record import EXTENSIONS

__all__ = ["contrast_objection", "is_ct_like", "named_contrast", "told_contrast"]

LONGEST_ECHO_MS = 30.0
MOST_SIDECAR_BYTES = 1 << 20
SUFFIXES = {  # the last word of a file name; PD alone may be a disease
    "t2": "T2", "t2w": "T2", "flair": "FLAIR", "pdw": "PD", "pdt2": "PD", "t2star": "susceptibility",
    "t2starw": "susceptibility", "swi": "susceptibility", "bold": "EPI", "epi": "EPI", "sbref": "EPI", "asl": "EPI",
    "dwi": "diffusion", "adc": "diffusion", "tof": "angiography", "angio": "angiography", "ct": "CT", "pet": "PET",
}  # fmt: skip
SERIES_WORDS = ("SeriesDescription", "SequenceName", "PulseSequenceName", "PulseSequenceType")

WORDS = (  # closed where words of every day begin alike: epilepsy, perfect, tracer, diffuse, angioma
    ("FLAIR", r"flair|dark.?fluid|(?<![a-z])tirm"),
    ("angiography", r"(?<![a-z])tof(?![a-z])|angio(gr[a-z]+)?(?![a-z])|(?<![a-z])mr[av](?![a-z])"),
    ("susceptibility", r"(?<![a-z])(swi|swan|qsm)(?![a-z])|t2.?star|t2\*"),
    ("diffusion", r"(?<![a-z])(dwi|dti|(adc|tracew?|diff)(?![a-z]))|diffusion"),
    ("EPI", r"(?<![a-z])(fmri|ep2d|pc?asl|(bold|epi|asl|perf)(?![a-z])|perfusion)"),
    ("a field map", r"(?<![a-z])b[01].?map|field.?map|gre_field"),
    ("a localizer", r"(?<![a-z])loc(?![a-z])|localiz|localis|scout|survey|3.?plane"),
    ("a quantitative map", r"t[12].?map|t1.?rho"),
    ("T2", r"t2(?!\d|.?star|\*|.?map)"),
    ("PD", r"(?<![a-z])pdw?(?![a-z])|proton.?dens"),
    ("CT", r"(?<![a-z])ct(?![a-z])"),
    ("PET", r"(?<![a-z])pet(?![a-z]|.?mr)"),
    ("T1", r"t1(?!\d|.?map|.?rho)|mp2?.?rage|(?<![a-z])(mpr|f?spgr|bravo|tfl3d)"),
)


def named_contrast(text: str) -> str | None:
    """Return the contrast that a text names, such as a series description or a BIDS name.

    Parameters
    ----------
    text : str
        Words of a person or a scanner.

    Returns
    -------
    str or None
        `T1`, `T2`, `FLAIR`, `PD`, `EPI`, ...; None if no contrast is named, or more than one.

    Notes
    -----
    Source: ours. FLAIR is a kind of T2, so that `t2 flair` names one contrast.

    Examples
    --------
    >>> [named_contrast(name) for name in ("WIP ADNI_Sag3D MPRAGE", "t2_space_flair", "t1 and t2", "my scan")]
    ['T1', 'FLAIR', None, None]
    """
    lowered = text.lower()
    found = [contrast for contrast, pattern in WORDS if re.search(pattern, lowered)]
    if "FLAIR" in found and "T2" in found:
        found.remove("T2")
    return found[0] if len(found) == 1 else None


def told_contrast(series: str, protocol: str) -> str | None:
    """Return the contrast that the words of a series name; the name of its protocol may only support a T1.

    Parameters
    ----------
    series : str
        Description and sequence of the series.
    protocol : str
        Name of the protocol: on many scanners that of the whole session, and of the question that it shall answer.

    Returns
    -------
    str or None
        As `named_contrast`.

    Notes
    -----
    Source: ours; decision 0016.

    Examples
    --------
    >>> [told_contrast(*words) for words in (("t2_tse", ""), ("", "PD study"), ("scan", "mprage"), ("t2", "t1"))]
    ['T2', None, 'T1', None]
    """
    return named_contrast(f"{series} {protocol}" if named_contrast(protocol) == "T1" else series)


def contrast_objection(path: Path, echo_ms: float | None) -> str:
    """Say why a file is not T1-weighted, by its name, its echo time and the sidecar beside it.

    Parameters
    ----------
    path : Path
        An image file; `x.json` is the sidecar of `x.nii.gz`.
    echo_ms : float or None
        Echo time that the file's own header names.

    Returns
    -------
    str
        Empty if nothing speaks against T1.

    Notes
    -----
    Source: ours. No T1-weighted head is taken with an echo time above 30 ms.
    """
    stem = EXTENSIONS.sub("", path.name)
    words = [word for word in re.split(r"[^0-9a-z]+", stem.lower()) if word]
    if words and words[-1] in SUFFIXES and named_contrast(words[-1]) != "T1" and "t1w" not in words:
        return f"its name says {SUFFIXES[words[-1]]}"
    sidecar = _sidecar(path.with_name(f"{stem}.json"))
    modality = re.sub("[^A-Z]", "", str(sidecar.get("Modality") or "").upper()) or "MR"
    if modality not in ("MR", "MRI"):
        return f"its sidecar says modality {modality[:8]}"
    series = " ".join(str(sidecar.get(key) or "") for key in SERIES_WORDS)
    told = told_contrast(series, str(sidecar.get("ProtocolName") or ""))
    if told not in (None, "T1"):
        return f"its sidecar says {told}"
    echo_s = sidecar.get("EchoTime")
    longest_ms = max(echo_ms or 0.0, 1000 * echo_s if isinstance(echo_s, int | float) else 0.0)
    return f"its echo time of {longest_ms:.3g} ms is not that of a T1" if longest_ms > LONGEST_ECHO_MS else ""


def is_ct_like(values: NDArray[np.float32]) -> bool:
    """Tell whether grey values look like Hounsfield units: much air near -1000, much near water, some bone."""
    near_air, near_water = (float((np.abs(values - centre) < 150).mean()) for centre in (-1000, 0))
    return near_air > 0.05 and near_water > 0.05 and float(values.max()) > 300 and float(values.min()) > -4000


def _sidecar(path: Path) -> dict[str, Any]:
    """Read a sidecar; what is not there, large or damaged says nothing."""
    try:
        if path.stat().st_size > MOST_SIDECAR_BYTES:
            return {}
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
