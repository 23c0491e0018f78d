"""Which side a structure lies on, by its name: the tables of all protocols write it in front."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Sided", "group_by_structure", "side_of"]

SIDE = re.compile(r"^(?:ctx-|wm-)?(?:(left|l|lh)|(right|r|rh))[-_ ]+(?=\S)", re.IGNORECASE)


@dataclass(frozen=True)
class Sided:
    """A structure: its position among those given, its name without the side, and `left`, `right` or nothing."""

    position: int
    base: str
    side: str


def side_of(name: str) -> tuple[str, str]:
    """Take the side off a name; the second value is `left`, `right` or empty.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> side_of("Left-Thalamus"), side_of("ctx-rh-cuneus"), side_of("Brain-Stem")
    (('Thalamus', 'left'), ('cuneus', 'right'), ('Brain-Stem', ''))
    """
    found = SIDE.match(name)
    if not found:
        return name, ""
    return name[found.end() :], "left" if found[1] else "right"


def group_by_structure(names: Sequence[str]) -> tuple[tuple[Sided, ...], ...]:
    """Group structures by what they are, left before right.

    Parameters
    ----------
    names : sequence of str
        Names such as `Left-Thalamus`, `Right Thalamus Proper` or `Brain-Stem`.

    Returns
    -------
    tuple of tuples of Sided
        One group per anatomical structure, in the order of first appearance.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> groups = group_by_structure(["Right-Thalamus", "Brain-Stem", "Left-Thalamus"])
    >>> [[(part.position, part.base, part.side) for part in group] for group in groups]
    [[(2, 'Thalamus', 'left'), (0, 'Thalamus', 'right')], [(1, 'Brain stem', '')]]
    """
    groups: dict[str, list[Sided]] = {}
    for position, name in enumerate(names):
        bare, side = side_of(name)
        words = bare.replace("-", " ").replace("_", " ").split()
        base = " ".join([words[0], *(_lower(word) for word in words[1:])]) if words else name
        groups.setdefault(base.lower(), []).append(Sided(position, base, side))
    return tuple(tuple(sorted(group, key=lambda part: (part.side, part.position))) for group in groups.values())


def _lower(word: str) -> str:
    """Write a word small, unless it is an abbreviation such as DC."""
    return word if word.isupper() else word.lower()
