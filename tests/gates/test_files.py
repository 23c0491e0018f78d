"""What may lie in the repository: whole lines, no large files, no scans, no traces of one machine."""

import re
from pathlib import Path

LARGE_BYTES, WEIGHTS_BYTES, ALL_WEIGHTS_BYTES = 500_000, 15 * 2**20, 40 * 2**20
MODEL_FILES = ("weights.safetensors", "template.safetensors.gz")
SCANS = (".nii", ".nii.gz", ".mgz", ".mgh", ".dcm", ".img", ".hdr", ".nrrd", ".mnc")
BINARY = {".png", ".safetensors", ".npz", ".npy", ".zip", ".gz", ".jpg"}
VENDORED = Path("src/neuronat/report/assets/niivue.umd.js")  # the one file of others, unchanged (decision 0018)
TRACES = [  # put together here, so that this file is none of its own finds
    "/" + name + "/" for name in ("root", "work", "opt", "home", "Users", "tmp/pip", "mnt")
] + ["find" + "-links", "index-url" + " =", "file:" + "//", "pip" + ".conf"]
UNFINISHED = re.compile("|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X"]))


def texts(root: Path, tracked: tuple[Path, ...]) -> list[tuple[Path, str]]:
    return [
        (path, (root / path).read_text(encoding="utf-8"))
        for path in tracked
        if path.suffix not in BINARY and path != VENDORED
    ]


def test_text_files_end_with_one_newline_and_have_no_trailing_blanks(root: Path, tracked):
    wrong = [
        str(path)
        for path, text in texts(root, tracked)
        if text
        and (not text.endswith("\n") or text.endswith("\n\n") or "\r" in text or re.search(r"[ \t]$", text, re.M))
        and path.name != "LICENSE"
        and path.suffix != ".tsv"
    ]
    assert not wrong, "\n".join(wrong)


def test_no_file_is_large_but_weights_within_their_budget(root: Path, tracked):
    sizes = {path: (root / path).stat().st_size for path in tracked}
    weights = {path: size for path, size in sizes.items() if path.name in MODEL_FILES}
    assert all(path.parts[:3] == ("src", "neuronat", "models") for path in weights)
    assert [str(path) for path, size in weights.items() if size > WEIGHTS_BYTES] == []
    assert sum(weights.values()) <= ALL_WEIGHTS_BYTES
    assert [str(path) for path, size in sizes.items() if size > LARGE_BYTES and path not in {*weights, VENDORED}] == []


def test_no_scan_lies_outside_the_golden_files(tracked):
    scans = [str(path) for path in tracked if path.name.lower().endswith(SCANS)]
    assert [path for path in scans if not path.startswith("tests/golden/")] == []


def test_no_text_names_the_places_of_one_machine(root: Path, tracked):
    found = [f"{path}: {trace}" for path, text in texts(root, tracked) for trace in TRACES if trace in text]
    assert found == []


def test_nothing_is_left_to_do_in_the_code(root: Path, tracked):
    code = [(path, text) for path, text in texts(root, tracked) if path.suffix == ".py"]
    assert [str(path) for path, text in code if UNFINISHED.search(text)] == []
