"""All gates on one result, by protocol."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from neuronat.measure.agreement import Agreement, judge_agreement
from neuronat.measure.confidence import judge_certainty, judge_confidence
from neuronat.measure.plausible import Finding, judge_labels
from neuronat.pipeline.confidence import own_confidence
from neuronat.pipeline.result import BrainProbabilities
from neuronat.space.volume import LabelMap

__all__ = ["judge_result"]


def judge_result(
    labels: Mapping[str, LabelMap],
    mask: NDArray[np.bool_],
    computed: Mapping[str, BrainProbabilities],
    doubts: tuple[str, ...],
    agreement: Agreement | None = None,
) -> Mapping[str, tuple[Finding, ...]]:
    """Pass the labels of all protocols through the gates.

    Parameters
    ----------
    labels : mapping of str to LabelMap
        By protocol.
    mask : (I, J, K) bool
        Brain mask on the grid of the labels.
    computed : mapping of str to BrainProbabilities
        By protocol.
    doubts : tuple of str
        What spoke against the scan before the networks, and was overruled by force.
    agreement : Agreement, optional
        Of several protocols.

    Returns
    -------
    mapping of str to tuple of Finding
        By protocol; the doubts and the agreement stand under an empty name. With several protocols a reason
        begins with the name of its own, or of the one that it was made to agree with, if that has the same reason.

    Notes
    -----
    Source: ours (decision 0019).
    """
    findings = {"": tuple(Finding("review", f"forced: {doubt}") for doubt in doubts)}
    if agreement is not None:
        findings[""] += judge_agreement(agreement)
    bare: dict[str, tuple[Finding, ...]] = {}
    for protocol, label_map in labels.items():
        source = computed[protocol]
        found = judge_labels(label_map, mask, source.fine_map, source.untaught)
        found += judge_certainty(source.answer.certainty)
        if source.calibration is not None:
            found += judge_confidence(own_confidence(protocol, computed), source.calibration.usual, label_map.scheme)
        bare[protocol] = found
    for protocol, found in bare.items():
        follows = computed[protocol].answer.follows
        known = {finding.reason for finding in bare.get(follows, ())}
        named = [(finding, follows if finding.reason in known else protocol) for finding in found]
        findings[protocol] = tuple(
            replace(finding, reason=f"{name}: {finding.reason}" if len(labels) > 1 else finding.reason)
            for finding, name in named
        )
    return findings
