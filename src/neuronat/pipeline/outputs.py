"""The files of one result: named as the README says, staged in a hidden folder, then given their names."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from neuronat import __version__
from neuronat.errors import OutputError, UsageError
from neuronat.labels.luts import lut_files
from neuronat.labels.scheme import LabelScheme
from neuronat.measure.agreement import Agreement, agreement_summary, agreement_table
from neuronat.measure.volumes import volumes_table
from neuronat.pipeline.result import Result
from neuronat.record import make_folder, shown_name, temporary_name, write_bytes, write_text
from neuronat.space.files import write_channels, write_label_map, write_mask, write_volume

__all__ = [
    "DISCLAIMER",
    "label_table",
    "move_files",
    "require_same_tables",
    "staged",
    "tidied",
    "write_json",
    "write_luts",
    "write_result",
    "write_table",
]

DISCLAIMER = "Not for diagnosis."
NOTHING: Mapping[str, bytes] = MappingProxyType({})


def write_result(
    result: Result,
    out: Path,
    *,
    file_format: str = "nii.gz",
    has_probabilities: bool = False,
    extras: Mapping[str, bytes] = NOTHING,
    tables: Path | None = None,
) -> tuple[Path, ...]:
    """Write everything but the marker: all files, or none.

    Parameters
    ----------
    result : Result
        What came out of a scan.
    out : Path
        The folder; made if need be.
    file_format : str
        Ending of the images, `nii.gz` or `mgz`.
    has_probabilities : bool
        Write the probabilities as well.
    extras : mapping of str to bytes
        Further files by name, such as the report.
    tables : Path, optional
        Folder of the label tables that scans share; by default `out`.

    Returns
    -------
    tuple of Path
        The files of this scan.

    Raises
    ------
    OutputError
        If the folder cannot be written to, or has no space left, or a folder has the name of a file.
    UsageError
        If a label table of another content is there.

    Notes
    -----
    Source: ours; names as in BIDS derivatives.
    """
    make_folder(out)
    tables = tables or out
    require_same_tables(tables, [labels.scheme for labels in result.labels.values()])
    with staged(out, result.stem) as stage:
        _write_mask(result, stage, file_format)
        for protocol in result.labels:
            _write_protocol(result, protocol, stage, file_format)
            if has_probabilities and protocol in result.computed:
                _write_probabilities(result, protocol, stage, file_format)
        if result.agreement is not None:
            _write_agreement(result, result.agreement, stage, file_format)
        for name, content in extras.items():
            write_bytes(stage / name, content)
        names = sorted(path.name for path in stage.iterdir())
        for labels in result.labels.values():
            write_table(labels.scheme, tables)
        move_files(names, stage, out)
    return tuple(out / name for name in names)


@contextmanager
def staged(out: Path, stem: str) -> Iterator[Path]:
    """Lend a private folder inside `out`; it and what is left in it are removed, whatever happens."""
    stage = out / temporary_name(stem)
    try:
        stage.mkdir(mode=0o700)
    except OSError as error:
        raise OutputError(f"{shown_name(out)}: cannot be written ({error.strerror}); choose another folder") from error
    try:
        yield stage
    except OSError as error:
        if isinstance(error, OutputError) or error.errno is None:
            raise
        raise OutputError(f"{shown_name(out)}: cannot be written ({error.strerror}); free space") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def tidied(out: Path) -> Iterator[None]:
    """Remove `out` and those of its parents that are not there yet, if they are empty at the end, whatever happens."""
    absent = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in absent:
            with suppress(OSError):  # not made, or not empty
                folder.rmdir()


def move_files(names: Sequence[str], stage: Path, out: Path) -> None:
    """Give staged files their final place; OutputError, and none moved, where a folder bears one of their names."""
    for name in names:
        if (out / name).is_dir() and not (out / name).is_symlink():
            raise OutputError(f"{name}: is a folder where a file is to be written; move it, or choose another folder")
    for name in names:
        (stage / name).replace(out / name)


def require_same_tables(out: Path, schemes: Sequence[LabelScheme]) -> None:
    """Raise UsageError if `out` holds a label table of another content under the same name."""
    for scheme in schemes:
        path = out / f"seg-{scheme.name}_dseg.tsv"
        if path.is_file() and path.read_text(encoding="utf-8", errors="replace") != label_table(scheme):
            raise UsageError(f"{path.name} in the output folder lists other structures; choose another folder")


def label_table(scheme: LabelScheme) -> str:
    """Return the table index, name, color of a scheme, as BIDS has it."""
    rows = zip(scheme.ids, scheme.names, scheme.colours, strict=True)
    return "".join(f"{index}\t{name}\t{colour}\n" for index, name, colour in [("index", "name", "color"), *rows])


def write_luts(out: Path, schemes: Sequence[LabelScheme]) -> list[str]:
    """Write the colour tables of schemes for viewers, those that the scans of a folder share; return their names."""
    texts = {name: text for scheme in schemes for name, text in lut_files(scheme).items()}
    for name, text in texts.items():
        path = out / name
        if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_text(path, text)
    return list(texts)


def write_table(scheme: LabelScheme, out: Path) -> None:
    """Write the label table that the scans of a folder share, unless it is there."""
    path = out / f"seg-{scheme.name}_dseg.tsv"
    if not path.is_file():
        write_text(path, label_table(scheme))


def _write_mask(result: Result, stage: Path, file_format: str) -> None:
    name = f"{result.stem}_desc-brain_mask"
    write_mask(stage / f"{name}.{file_format}", result.mask, result.affine, space_code=result.space_code)
    write_json(stage / f"{name}.json", {"Type": "Brain"} | dict(result.provenance))


def _write_protocol(result: Result, protocol: str, stage: Path, file_format: str) -> None:
    """Write label map, sidecar and volumes of one protocol."""
    name = f"{result.stem}_seg-{protocol}"
    write_label_map(stage / f"{name}_dseg.{file_format}", result.labels[protocol], space_code=result.space_code)
    write_json(stage / f"{name}_dseg.json", _sidecar(result, protocol))
    confidence = result.confidence.get(protocol, {})
    table = volumes_table(result.volumes[protocol], _findings_by_id(result, protocol), confidence)
    write_text(stage / f"{name}_volumes.tsv", table)


def _write_agreement(result: Result, agreement: Agreement, stage: Path, file_format: str) -> None:
    """Write how far the protocols agree: table, summary and map."""
    name = f"{result.stem}_desc-agreement_map"
    write_volume(stage / f"{name}.{file_format}", agreement.shares, space_code=result.space_code)
    about = {"Description": "share of the protocols that agree with the majority, told in Scheme"}
    write_json(stage / f"{name}.json", about | agreement_summary(agreement) | dict(result.provenance))
    write_text(stage / f"{result.stem}_agreement.tsv", agreement_table(agreement))


def _findings_by_id(result: Result, protocol: str) -> dict[int, str]:
    """Join the findings about each structure."""
    found: dict[int, list[str]] = {}
    for finding in result.findings.get(protocol, ()):
        if finding.index is not None:
            found.setdefault(finding.index, []).append(f"{finding.level}: {finding.reason}")
    return {index: "; ".join(reasons) for index, reasons in found.items()}


def _write_probabilities(result: Result, protocol: str, stage: Path, file_format: str) -> None:
    """Write the probabilities of one protocol, one class in memory at a time."""
    found = result.computed[protocol]
    name = f"{result.stem}_seg-{protocol}_probseg"
    write_channels(
        stage / f"{name}.{file_format}",
        found.channels(),
        result.affine,
        n_channels=found.scheme.n_classes,
        space_code=result.space_code,
    )
    about: dict[str, Any] = {"LabelMap": list(found.scheme.names)}
    if found.answer.follows:
        said = f"as the networks gave them; the label map was then made to agree with {found.answer.follows}"
        about |= {"Description": f"probabilities {said}, so that it is not everywhere the most probable label"}
    write_json(stage / f"{name}.json", _sidecar(result, protocol) | about)


def _sidecar(result: Result, protocol: str) -> dict[str, Any]:
    """Compose the sidecar of a label map; one in other ids was not computed itself."""
    found = result.computed.get(protocol)
    return {
        "Manual": False,
        "Protocol": protocol,
        **result.provenance,
        "Verdict": result.verdict,
        "Reasons": list(result.reasons),
        "Warnings": list(result.warnings),
        "Confidence": result.named_confidence(protocol),
        **({} if found is None else {"TemplateUsed": found.answer.is_informed}),
        "GeneratedBy": [{"Name": "neuronat", "Version": __version__}],
        "Disclaimer": DISCLAIMER,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a sidecar."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
