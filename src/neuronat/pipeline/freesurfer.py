"""Labels once more in FreeSurfer's ids, for tools that know no others."""

from dataclasses import replace

from neuronat.labels.scheme import load_scheme
from neuronat.measure.volumes import structure_volumes
from neuronat.pipeline.result import Result
from neuronat.space.volume import LabelMap

__all__ = ["with_freesurfer_ids"]


def with_freesurfer_ids(result: Result) -> Result:
    """Return the result with one more label map, `<protocol>freesurfer`, for each protocol whose ids are others.

    Parameters
    ----------
    result : Result
        What came out of a scan.

    Returns
    -------
    Result
        Structures without a FreeSurfer id are background there, and volumes are those of structures that something in
        the protocol means. A protocol that maps onto nothing of FreeSurfer's gets no further map.

    Notes
    -----
    Source: ours.
    """
    labels, volumes = dict(result.labels), dict(result.volumes)
    for protocol, label_map in result.labels.items():
        target = label_map.scheme.freesurfer_scheme
        if target not in ("", label_map.scheme.name):
            name = f"{protocol}freesurfer"
            fine = result.computed[protocol].fine_map if protocol in result.computed else None
            labels[name] = _renumbered(label_map, target, name)
            rows = structure_volumes(labels[name], _renumbered(fine, target, name) if fine else None)
            meant = set(label_map.scheme.mapping_to(target).values())
            volumes[name] = tuple(row for row in rows if row.index in meant)
    return replace(result, labels=labels, volumes=volumes)


def _renumbered(labels: LabelMap, target: str, name: str) -> LabelMap:
    """Return labels in FreeSurfer's ids, by a mapping of their scheme, as a map of a protocol of that name."""
    ids = labels.scheme.mapped_ids(labels.ids, target)
    return LabelMap(ids, labels.affine, replace(load_scheme("freesurfer"), name=name))
