"""Left beside right: volumes in pairs, and how unequal they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from neuronat.labels.sides import group_by_structure
from neuronat.measure.volumes import StructureVolume

__all__ = ["PairedVolume", "asymmetry_percent", "pair_volumes"]


@dataclass(frozen=True)
class PairedVolume:
    """A structure with its left and right volume, or with one in the middle; None where there is none."""

    name: str
    left: StructureVolume | None
    right: StructureVolume | None
    middle: StructureVolume | None

    @property
    def asymmetry_percent(self) -> float | None:
        """The asymmetry index; None where a side is missing or not known."""
        return asymmetry_percent(
            self.left.volume_mm3 if self.left else None, self.right.volume_mm3 if self.right else None
        )

    @property
    def note(self) -> str:
        """The reasons of both sides, once where they are the same."""
        reasons = [(side, part.reason) for side, part in (("left", self.left), ("right", self.right)) if part]
        if self.middle:
            return self.middle.reason
        if len({reason for _, reason in reasons}) == 1:
            return reasons[0][1]
        return ", ".join(f"{side}: {reason}" for side, reason in reasons if reason)


def asymmetry_percent(left_mm3: float | None, right_mm3: float | None) -> float | None:
    """Return the asymmetry index in percent of the mean of both sides, above 0 where the left is larger.

    index = 100 (left - right) / ((left + right) / 2)

    Notes
    -----
    Source: [KURTH]. Ours: None where a volume is not known.

    Examples
    --------
    >>> asymmetry_percent(11.0, 9.0)
    20.0
    """
    if left_mm3 is None or right_mm3 is None or not left_mm3 + right_mm3 > 0:
        return None
    return 200 * (left_mm3 - right_mm3) / (left_mm3 + right_mm3)


def pair_volumes(rows: Sequence[StructureVolume]) -> tuple[PairedVolume, ...]:
    """Put the two sides of each structure together, in alphabetical order.

    Notes
    -----
    Source: ours. Sides are told by name. What is neither a pair nor alone stays apart.

    Examples
    --------
    >>> rows = [StructureVolume(49, "Right-Thalamus", 9, 9.0), StructureVolume(10, "Left-Thalamus", 11, 11.0)]
    >>> [(pair.name, pair.left.index, pair.right.index, pair.asymmetry_percent) for pair in pair_volumes(rows)]
    [('Thalamus', 10, 49, 20.0)]
    """
    pairs = []
    for group in group_by_structure([row.name for row in rows]):
        by_side = {part.side: rows[part.position] for part in group}
        if len(group) == 1 or (sorted(by_side) == ["left", "right"] and len(group) == 2):
            pairs.append(PairedVolume(group[0].base, by_side.get("left"), by_side.get("right"), by_side.get("")))
        else:
            pairs += [PairedVolume(rows[part.position].name, None, None, rows[part.position]) for part in group]
    return tuple(sorted(pairs, key=lambda pair: pair.name.casefold()))
