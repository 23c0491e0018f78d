"""Where protocols agree about one scan: a number per structure, a map, and who stands apart.

Protocols speak of different structures. Those that can be told in one **common scheme** are compared there: each
label map is translated into it, and the finest scheme that two protocols share is taken. Who is right nobody knows;
but where many independent tools agree, any may be trusted, and where one differs from all others it needs a look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuronat.errors import GridError
from neuronat.labels.scheme import LabelScheme, load_scheme, scheme_names
from neuronat.measure.groups import common_groups
from neuronat.measure.overlap import count_jointly, dice_of_counts
from neuronat.measure.plausible import Finding
from neuronat.space.affine import describe_grid, is_same_grid, voxel_volume_mm3
from neuronat.space.volume import LabelMap, Volume

__all__ = [
    "Agreement",
    "PairAgreement",
    "StructureAgreement",
    "agreement_summary",
    "agreement_table",
    "judge_agreement",
    "measure_agreement",
]

APART, LEAST_DICE = 0.1, 0.5
COLUMNS = ("scheme", "index", "name", "first", "second", "dice", "volume_first_mm3", "volume_second_mm3",
           "difference_percent", "apart")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PairAgreement:
    """Two protocols on one structure: Dice and volumes; None where neither, or for a volume one, has it."""

    first: str
    second: str
    dice: float | None
    volumes_mm3: tuple[float | None, float | None]

    @property
    def difference_percent(self) -> float | None:
        """Difference of the volumes (first - second) in percent of their mean; None where one is not known."""
        first, second = self.volumes_mm3
        return None if first is None or second is None else 200 * (first - second) / (first + second)


@dataclass(frozen=True, kw_only=True)
class StructureAgreement:
    """All protocols on one structure of a common scheme; `apart` names the one that differs from all others, if any.

    `mean_dice` is the mean over pairs.
    """

    scheme: str
    index: int
    name: str
    pairs: tuple[PairAgreement, ...]
    mean_dice: float | None
    apart: str


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement per structure and scheme, and the map of the largest group.

    `shares` holds in each voxel the share of the protocols in `mapped` that carry the most frequent label there.
    """

    structures: tuple[StructureAgreement, ...]
    mapped: tuple[str, ...]
    scheme: str
    shares: Volume


def measure_agreement(labels: Mapping[str, LabelMap], follows: Mapping[str, str] | None = None) -> Agreement | None:
    """Compare label maps of one scan by different protocols.

    Parameters
    ----------
    labels : mapping of str to LabelMap
        By protocol, on one grid.
    follows : mapping of str to str, optional
        By protocol the one that its labels were made to agree with, which says nothing: one speaks for all of these.

    Returns
    -------
    Agreement or None
        None where no two protocols that answered by themselves can be told in a common scheme.

    Raises
    ------
    GridError
        If the label maps lie on different grids.

    Notes
    -----
    Source: [DICE]; the rest is ours (decision 0020).
    """
    _require_one_grid(labels)
    groups = common_groups([label_map.scheme for label_map in labels.values()], follows)
    if not groups:
        return None
    by_scheme = {label_map.scheme.name: label_map for label_map in labels.values()}
    affine = next(iter(labels.values())).affine
    structures: list[StructureAgreement] = []
    shares: list[NDArray[np.float32]] = []
    for name, protocols in groups.items():
        scheme = load_scheme(name) if name in scheme_names() else by_scheme[name].scheme
        mapped = {one: by_scheme[one].scheme.mapped_ids(by_scheme[one].ids, name) for one in protocols}
        structures += _compare(mapped, scheme, voxel_mm3=voxel_volume_mm3(affine))
        if not shares:
            shares.append(_shares_of_majority(list(mapped.values())))
    first = next(iter(groups))
    return Agreement(tuple(structures), groups[first], first, Volume(shares[0], affine))


def agreement_table(agreement: Agreement) -> str:
    """Return one row per structure and pair of protocols, as the text of a table.

    Notes
    -----
    Source: ours.
    """
    lines = ["\t".join(COLUMNS)]
    for structure in agreement.structures:
        for pair in structure.pairs:
            numbers = (pair.dice, *pair.volumes_mm3, pair.difference_percent)
            shown = ["n/a" if number is None else f"{number:.6g}" for number in numbers]
            names = [structure.scheme, str(structure.index), structure.name, pair.first, pair.second]
            lines.append("\t".join([*names, *shown, structure.apart or "n/a"]))
    return "\n".join(lines) + "\n"


def agreement_summary(agreement: Agreement) -> dict[str, Any]:
    """Return as plain values how well each protocol agrees with the others, and who stands apart where.

    Notes
    -----
    Source: ours. The means are over structures and the other protocols of the largest group.
    """
    main = [structure for structure in agreement.structures if structure.scheme == agreement.scheme]
    dice_with: dict[str, list[float]] = {protocol: [] for protocol in agreement.mapped}
    for pair in (pair for structure in main for pair in structure.pairs):
        for protocol in (pair.first, pair.second) if pair.dice is not None else ():
            dice_with[protocol].append(pair.dice or 0.0)
    return {
        "Scheme": agreement.scheme,
        "Protocols": list(agreement.mapped),
        "MeanDice": {name: round(float(np.mean(dice)), 4) if dice else None for name, dice in dice_with.items()},
        "Structures": {s.name: None if s.mean_dice is None else round(s.mean_dice, 4) for s in main},
        "Apart": {s.name: s.apart for s in agreement.structures if s.apart},
    }


def judge_agreement(agreement: Agreement) -> tuple[Finding, ...]:
    """Find the structures of the largest group on which a protocol agrees with no other: all its Dice are below 0.5.

    Notes
    -----
    Source: ours (decision 0020). Protocols that draw a structure in one of two ways, such as the fluid with or without
    that around the brain, agree with their like.
    """
    lonely = {
        structure.name: min(map(max, _dice_with(structure.pairs).values()))
        for structure in agreement.structures
        if structure.scheme == agreement.scheme and structure.mean_dice is not None
    }
    return tuple(
        Finding("review", f"protocols disagree about {name} (Dice {dice:.2f} at best)")
        for name, dice in lonely.items()
        if dice < LEAST_DICE
    )


def _compare(
    mapped: Mapping[str, NDArray[np.int32]], scheme: LabelScheme, *, voxel_mm3: float
) -> list[StructureAgreement]:
    """Compare all pairs of protocols, structure by structure."""
    pairs: list[tuple[str, str, NDArray[np.float64], NDArray[np.int64]]] = []
    for first, second in combinations(mapped, 2):
        counts = count_jointly(mapped[first], mapped[second], scheme)
        both = np.stack([counts.sum(axis=1), counts.sum(axis=0)], axis=1)
        pairs.append((first, second, dice_of_counts(counts), both))
    found = []
    for position, (index, name) in enumerate(zip(scheme.ids, scheme.names, strict=True)):
        if position == 0:
            continue
        rows = tuple(
            PairAgreement(
                first=first,
                second=second,
                dice=None if np.isnan(dice[position]) else float(dice[position]),
                volumes_mm3=(_volume_mm3(both[position, 0], voxel_mm3), _volume_mm3(both[position, 1], voxel_mm3)),
            )
            for first, second, dice, both in pairs
        )
        known = [row.dice for row in rows if row.dice is not None]
        mean = float(np.mean(known)) if known else None
        found.append(
            StructureAgreement(
                scheme=scheme.name, index=index, name=name, pairs=rows, mean_dice=mean, apart=_apart(rows)
            )
        )
    return found


def _volume_mm3(n_voxels: np.int64, voxel_mm3: float) -> float | None:
    """Return the volume of a structure; None where it was not found."""
    return float(n_voxels) * voxel_mm3 if n_voxels else None


def _apart(pairs: Sequence[PairAgreement]) -> str:
    """Name the protocol whose best Dice with another is clearly below the worst among the rest; none of only two."""
    dice_with = _dice_with(pairs)
    if len(dice_with) < 3 or all(pair.dice is None for pair in pairs):
        return ""
    lowest = min(dice_with, key=lambda protocol: float(np.mean(dice_with[protocol])))
    others = [pair.dice or 0.0 for pair in pairs if lowest not in (pair.first, pair.second)]
    return lowest if min(others) - max(dice_with[lowest]) > APART else ""


def _dice_with(pairs: Sequence[PairAgreement]) -> dict[str, list[float]]:
    """Return by protocol its Dice with each other one."""
    dice_with: dict[str, list[float]] = {}
    for pair in pairs:
        for protocol in (pair.first, pair.second):
            dice_with.setdefault(protocol, []).append(pair.dice or 0.0)
    return dice_with


def _shares_of_majority(maps: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
    """Return in each voxel the largest share of maps that carry the same id."""
    stacked = np.stack([ids.ravel() for ids in maps])
    is_disputed = (stacked != stacked[0]).any(axis=0)
    disputed = stacked[:, is_disputed]
    votes = [np.count_nonzero(disputed == row, axis=0) for row in disputed]
    shares = np.ones(stacked.shape[1], np.float32)
    shares[is_disputed] = np.max(votes, axis=0) / len(maps)
    return shares.reshape(maps[0].shape)


def _require_one_grid(labels: Mapping[str, LabelMap]) -> None:
    """Raise GridError if the label maps lie on different grids."""
    (first, reference), *others = labels.items()
    for protocol, label_map in others:
        if not is_same_grid((reference.ids.shape, reference.affine), (label_map.ids.shape, label_map.affine)):
            raise GridError(
                f"protocol {first} lies on {describe_grid(reference.ids.shape, reference.affine)}, {protocol} on "
                f"{describe_grid(label_map.ids.shape, label_map.affine)}; compare label maps of one grid"
            )
