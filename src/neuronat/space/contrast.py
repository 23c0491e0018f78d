"""Which contrast the words of a header or a file name promise: T1, or another one that must not be taken for it.

Names of protocols are written by people. What several contrasts claim, or none, is left undecided.
"""

import re

__all__ = ["named_contrast"]

WORDS = (
    ("FLAIR", r"flair|dark.?fluid|(?<![a-z])tirm"),
    ("angiography", r"(?<![a-z])tof(?![a-z])|angio|(?<![a-z])mr[av](?![a-z])"),
    ("susceptibility", r"(?<![a-z])(swi|swan|qsm)(?![a-z])|t2.?star|t2\*"),
    ("diffusion", r"(?<![a-z])(dwi|dti|adc|trace)|diff"),
    ("EPI", r"(?<![a-z])(bold|fmri|epi|ep2d|asl|pcasl|perf)"),
    ("a field map", r"(?<![a-z])b[01].?map|field.?map|gre_field"),
    ("a localizer", r"(?<![a-z])loc(?![a-z])|localiz|localis|scout|survey|3.?plane"),
    ("a quantitative map", r"t[12].?map|t1.?rho"),
    ("T2", r"t2(?!\d|.?star|\*|.?map)"),
    ("PD", r"(?<![a-z])pdw?(?![a-z])|proton.?dens"),
    ("CT", r"(?<![a-z])ct(?![a-z])"),
    ("PET", r"(?<![a-z])pet(?![a-z])"),
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
