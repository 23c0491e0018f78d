"""What a baseline is asked for, and all that is decided before anything is computed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neuronat import __version__
from neuronat.errors import ConfigError, UsageError
from neuronat.labels.scheme import LabelScheme, load_scheme, scheme_names
from neuronat.pipeline.atlases import Atlas, AtlasConfig, choose_atlases
from neuronat.pipeline.plan import require_distinct, require_usable_name
from neuronat.pipeline.settings import SegmentConfig
from neuronat.prepare.extra import require_package
from neuronat.prepare.joint import JointConfig
from neuronat.prepare.staple import StapleConfig
from neuronat.record import Marker, shown_name, stem_of
from neuronat.space.reading import hash_of_scan

__all__ = ["METHODS", "BaselineConfig", "Job", "plan_baseline", "reading_settings"]

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "jlf": "joint label fusion (ANTs), without corrective learning",
        "staple": "STAPLE (SimpleITK) in overlapping windows",
    }
)
FAST_SEARCH_VOX = 2


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """What is fused: `method` of METHODS, the atlases, the scheme of their label maps, the protocol of the result."""

    method: str
    atlases: AtlasConfig
    scheme: str = "neuromorphometrics"
    protocol: str = "deepnat25"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {self.method!r}")

    @property
    def fusion(self) -> JointConfig | StapleConfig:
        """The method's numbers; a fast joint fusion searches less far than the published one."""
        if self.method == "staple":
            return StapleConfig()
        is_fast = self.atlases.quality == "fast"
        return JointConfig(search_reach_vox=FAST_SEARCH_VOX) if is_fast else JointConfig()


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """A scan, its atlases, and what a result of them depends on."""

    scan: Path
    stem: str
    atlases: tuple[Atlas, ...]
    scheme: LabelScheme
    protocol: LabelScheme
    wanted: Marker
    baseline: BaselineConfig
    config: SegmentConfig


def plan_baseline(scan: Path, out: Path, baseline: BaselineConfig, config: SegmentConfig) -> Job:
    """Check all that can be checked before anything is computed, and choose the atlases.

    Parameters
    ----------
    scan, out : Path
        The scan, and the folder for the results.
    baseline : BaselineConfig
        Method and atlases.
    config : SegmentConfig
        How the scan is read.

    Returns
    -------
    Job

    Raises
    ------
    UsageError
        If a scheme is not known or has no mapping to the protocol, too few atlases are there, or an output would
        replace an input.
    UnavailableError
        If antspyx is not installed.
    MissingInputError
        If the scan or the atlases are not there.

    Notes
    -----
    Source: ours.
    """
    scheme, protocol = _scheme(baseline.scheme), _scheme(baseline.protocol)
    if protocol.name not in (scheme.name, *scheme.mappings):
        known = ", ".join((scheme.name, *scheme.mappings))
        raise UsageError(f"scheme {scheme.name} has no mapping to {protocol.name}; --protocol can be {known}")
    require_package(f"baseline {baseline.method}", "antspyx", "ants")
    require_distinct([scan], out / baseline.method, config)
    require_usable_name(scan, [protocol.name])
    inputs = {shown_name(scan): hash_of_scan(scan, config.reading)}
    atlases = choose_atlases(baseline.atlases, stem_of(scan), inputs[shown_name(scan)])
    if config.mask is not None:
        inputs[f"mask {shown_name(config.mask)}"] = hash_of_scan(config.mask)
    inputs |= {f"atlas {atlas.files.name}": atlas.sha256 for atlas in atlases}
    settings = {
        "method": asdict(baseline.fusion),
        "quality": baseline.atlases.quality,
        "scheme": scheme.name,
        "protocol": protocol.name,
        "format": config.file_format,
        **reading_settings(config),
    }
    packages = {name: version(name) for name in ("antspyx", "SimpleITK")}
    return Job(
        scan=scan,
        stem=stem_of(scan),
        atlases=atlases,
        scheme=scheme,
        protocol=protocol,
        wanted=Marker(version=__version__, inputs=inputs, models=packages, settings=settings, outputs={}),
        baseline=baseline,
        config=config,
    )


def _scheme(name: str) -> LabelScheme:
    """Load a scheme that the user named, one of those shipped or a table."""
    if not name.endswith(".tsv") and name not in scheme_names():
        raise UsageError(f"scheme {name} is not known; known are {', '.join(scheme_names())}, or give a table (.tsv)")
    return load_scheme(name)


def reading_settings(config: SegmentConfig) -> dict[str, Any]:
    """Return the settings that decide how the scan is prepared, as plain values."""
    return {
        "stripped": config.stripped,
        "force": config.force,
        "frame": config.reading.frame,
        "use_form": config.reading.use_form,
        "assume_orientation": config.reading.assume_orientation,
    }
