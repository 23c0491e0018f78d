"""Which protocols can be compared, and in whose terms."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from neuronat.labels.scheme import LabelScheme, load_scheme, scheme_names

__all__ = ["common_groups"]


def common_groups(
    schemes: Sequence[LabelScheme], follows: Mapping[str, str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Group protocols by the schemes in which at least two of them can be compared.

    Parameters
    ----------
    schemes : sequence of LabelScheme
        Those of the protocols.
    follows : mapping of str to str, optional
        By protocol the one that its labels were made to agree with; such protocols have one voice, the first one's.

    Returns
    -------
    dict of str to tuple of str
        Name of the common scheme to the protocols in it. Of the schemes that two protocols share only the finest
        counts; the group with the most protocols comes first, of equal ones the finest.

    Notes
    -----
    Source: ours (decision 0020).

    Examples
    --------
    >>> common_groups([load_scheme("deepnat25"), load_scheme("freesurfer"), load_scheme("neuromorphometrics")])
    {'deepnat25': ('deepnat25', 'freesurfer', 'neuromorphometrics')}
    """
    known = {scheme.name: scheme for scheme in schemes} | {name: load_scheme(name) for name in scheme_names()}
    targets = {scheme.name: {scheme.name, *scheme.mappings} & set(known) for scheme in schemes}
    voices = {scheme.name: _voice(scheme.name, follows or {}) for scheme in schemes}
    chosen = set()
    for first, second in combinations(schemes, 2):
        shared = targets[first.name] & targets[second.name]
        if shared and voices[first.name] != voices[second.name]:
            chosen.add(max(shared, key=lambda name: (known[name].n_classes, name)))
    groups = {name: _first_voices([s.name for s in schemes if name in targets[s.name]], voices) for name in chosen}
    ordered = sorted(groups, key=lambda name: (-len(groups[name]), -known[name].n_classes, name))
    return {name: groups[name] for name in ordered}


def _voice(protocol: str, follows: Mapping[str, str]) -> str:
    """Name the protocol that decided what this one says, in the end."""
    return _voice(follows[protocol], follows) if follows.get(protocol) else protocol


def _first_voices(protocols: Sequence[str], voices: Mapping[str, str]) -> tuple[str, ...]:
    """Keep the first protocol of each voice."""
    first: dict[str, str] = {}
    for protocol in protocols:
        first.setdefault(voices[protocol], protocol)
    return tuple(first.values())
