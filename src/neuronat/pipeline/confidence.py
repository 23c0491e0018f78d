"""The confidence of all protocols of one result: one number for one structure, however many tables name it."""

from collections import Counter
from collections.abc import Mapping

from neuronat.labels.scheme import LabelScheme
from neuronat.pipeline.networks import REFINES
from neuronat.pipeline.result import BrainProbabilities

__all__ = ["confidence_per_protocol", "own_confidence", "whole_structures"]


def confidence_per_protocol(computed: Mapping[str, BrainProbabilities]) -> dict[str, dict[int, float]]:
    """Return the confidence in each structure by protocol and id, of protocols with a calibration.

    Notes
    -----
    Source: ours (decision 0037). A fine structure that is a whole structure of the coarse protocol it agrees with has
    the same voxels there (decision 0029), and that answer, refined and of several networks, knows more of them.
    """
    found = {}
    for protocol, one in computed.items():
        if one.calibration is not None:
            twins = _twins(protocol, computed)
            coarse = computed[REFINES[protocol]].confidence if twins else {}
            found[protocol] = {index: coarse.get(twins.get(index, 0), own) for index, own in one.confidence.items()}
    return found


def own_confidence(protocol: str, computed: Mapping[str, BrainProbabilities]) -> dict[int, float]:
    """Return a protocol's confidence in the structures that no coarser protocol answers for."""
    twins = _twins(protocol, computed)
    return {index: own for index, own in computed[protocol].confidence.items() if index not in twins}


def _twins(protocol: str, computed: Mapping[str, BrainProbabilities]) -> dict[int, int]:
    """Return `whole_structures` where the coarse protocol of a fine one has a confidence, too."""
    coarse = computed.get(REFINES.get(protocol, ""))
    if coarse is None or coarse.calibration is None:
        return {}
    return whole_structures(computed[protocol].scheme, coarse.scheme.name)


def whole_structures(scheme: LabelScheme, coarse: str) -> dict[int, int]:
    """Return the ids of structures that no other one shares a structure of a coarse protocol with, and its ids.

    Notes
    -----
    Source: ours.

    Examples
    --------
    >>> from neuronat.labels.scheme import load_scheme
    >>> whole_structures(load_scheme("neuromorphometrics"), "deepnat25")[48]  # the left hippocampus
    17
    """
    mapping = scheme.mapping_to(coarse)
    n_parts = Counter(mapping.values())
    return {fine: whole for fine, whole in mapping.items() if whole and n_parts[whole] == 1}
