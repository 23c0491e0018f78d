"""Labels once more in FreeSurfer's ids, for tools that know no others."""

from dataclasses import replace

from neuronat.labels.scheme import LabelScheme, load_scheme
from neuronat.measure.volumes import structure_volumes
from neuronat.pipeline.result import Result
from neuronat.space.volume import LabelMap

__all__ = ["with_freesurfer_ids"]

FREESURFER, COMMON = "freesurfer", "deepnat25"  # the ids of both are FreeSurfer's


def with_freesurfer_ids(result: Result) -> Result:
    """Return the result with one more label map, `<protocol>freesurfer`, for each protocol whose ids are others.

    Parameters
    ----------
    result : Result
        What came out of a scan.

    Returns
    -------
    Result
        Structures without a FreeSurfer id are background there. A protocol that maps onto nothing of FreeSurfer's gets
        no further map.

    Notes
    -----
    Source: ours.
    """
    labels, volumes = dict(result.labels), dict(result.volumes)
    for protocol, label_map in result.labels.items():
        target = _target(label_map.scheme)
        if target:
            scheme = replace(load_scheme(FREESURFER), name=f"{protocol}{FREESURFER}")
            ids = label_map.scheme.mapped_ids(label_map.ids, target)
            labels[scheme.name] = LabelMap(ids, label_map.affine, scheme)
            volumes[scheme.name] = structure_volumes(labels[scheme.name])
    return replace(result, labels=labels, volumes=volumes)


def _target(scheme: LabelScheme) -> str:
    """Name the scheme of FreeSurfer's ids that another scheme maps onto; nothing if its ids are FreeSurfer's."""
    if scheme.name in (FREESURFER, COMMON):
        return ""
    return next((name for name in (FREESURFER, COMMON) if name in scheme.mappings), "")
