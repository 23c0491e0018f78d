import json
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from neuronat.cohort.bids import describe_derivative, find_bids_scans, is_bids, parse_filter, write_description
from neuronat.cohort.entry import Selection
from neuronat.cohort.manifest import find_cohort
from neuronat.errors import ConfigError, MissingInputError, UsageError

NAMES = [
    "sub-01/anat/sub-01_T1w.nii.gz",
    "sub-01/anat/sub-01_T2w.nii.gz",
    "sub-01/func/sub-01_task-rest_bold.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_acq-mprage_run-01_T1w.nii.gz",
    "sub-02/ses-a/anat/sub-02_ses-a_acq-mprage_run-02_T1w.nii.gz",
    "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii",
    "sub-03/func/sub-03_task-rest_bold.nii.gz",
    "derivatives/other/sub-09/anat/sub-09_T1w.nii.gz",
    "sub-04/anat/sub-04_T1w.json",
]


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"x")
    (tmp_path / "in" / "dataset_description.json").write_text('{"Name": "Two sessions", "BIDSVersion": "1.10.0"}')
    return tmp_path / "in"


def stems(data_set: Path, **selection: object) -> list[str]:
    return [entry.stem for entry in find_bids_scans(data_set, Selection(**selection)).entries]


def test_all_runs_and_sessions_are_found_and_a_subject_without_t1w_is_a_gap(data_set: Path, tmp_path: Path):
    assert is_bids(data_set)
    assert not is_bids(tmp_path)
    cohort = find_bids_scans(data_set, Selection())
    assert [entry.key for entry in cohort.entries] == [
        "sub-01/anat/sub-01",
        "sub-02/ses-a/anat/sub-02_ses-a_acq-mprage_run-01",
        "sub-02/ses-a/anat/sub-02_ses-a_acq-mprage_run-02",
        "sub-02/ses-b/anat/sub-02_ses-b",
    ]
    assert [(gap.stem, gap.is_failure) for gap in cohort.gaps] == [("sub-03", False), ("sub-04", False)]


def test_filters_pick_participants_sessions_and_entities(data_set: Path, tmp_path: Path):
    assert stems(data_set, participants=("01", "sub-02"), sessions=("ses-b",)) == ["sub-02_ses-b"]
    text = '{"t1w": {"acquisition": "mprage", "run": 2, "suffix": "T1w"}, "bold": {}}'
    (tmp_path / "filter.json").write_text(text, encoding="utf-8-sig")  # as Notepad writes it
    entities = parse_filter(tmp_path / "filter.json")
    assert stems(data_set, entities=entities) == ["sub-02_ses-a_acq-mprage_run-02"]


def test_a_subject_asked_for_by_name_and_without_t1w_is_a_failure(data_set: Path):
    cohort = find_bids_scans(data_set, Selection(participants=("03", "01")))
    assert [entry.stem for entry in cohort.entries] == ["sub-01"]
    assert [(gap.stem, gap.is_failure) for gap in cohort.gaps] == [("sub-03", True)]


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"participants": ("1",)}, "sub-1: not in the data set; near are sub-01"),
        ({"participants": ("sub-02",), "sessions": ("c",)}, "ses-c: not in the data set; near are ses-a, ses-b"),
    ],
)
def test_unknown_labels_are_named_with_near_ones(data_set: Path, selection: dict, message: str):
    with pytest.raises(UsageError, match=message):
        find_bids_scans(data_set, Selection(**selection))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"t1w": {"colour": "red"}}', '{"t1w": {"run": [1, 2]}}'])
def test_what_is_no_filter_is_refused(tmp_path: Path, content: str):
    (tmp_path / "filter.json").write_text(content)
    with pytest.raises(ConfigError, match=r"filter\.json: (no filter|t1w may name)"):
        parse_filter(tmp_path / "filter.json")


def test_a_filter_that_is_not_there_is_exit_66(tmp_path: Path):
    with pytest.raises(MissingInputError, match=r"none\.json: not found; give a filter file"):
        parse_filter(tmp_path / "none.json")


def test_two_images_of_one_name_cost_that_scan_alone(data_set: Path, tmp_path: Path):
    (data_set / "sub-01/anat/sub-01_T1w.nii").write_bytes(b"x")
    cohort = find_cohort(data_set, tmp_path / "out", Selection())
    assert len(cohort.entries) == 3
    (gap,) = (gap for gap in cohort.gaps if gap.is_failure)
    assert gap.message == "sub-01_T1w.nii, sub-01_T1w.nii.gz would share their results; keep one of them"


def test_the_description_says_who_made_it_from_what_and_names_no_place(data_set: Path):
    description = describe_derivative(data_set, data_set / "derivatives" / "neuronat")
    assert description["Name"] == "neuronat: structures of Two sessions"
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "neuronat"
    assert description["DatasetLinks"] == {"raw": "../.."}
    assert "DatasetLinks" not in describe_derivative(data_set, data_set.parent / "elsewhere")


def test_a_folder_of_another_program_is_left_alone(data_set: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "dataset_description.json").write_text('{"GeneratedBy": [{"Name": "fMRIPrep"}]}')
    with pytest.raises(UsageError, match="out: holds a data set of fMRIPrep; choose another folder"):
        write_description(data_set, tmp_path / "out")


def test_sixteen_processes_at_once_write_one_whole_description(data_set: Path, tmp_path: Path):
    out = tmp_path / "out"
    with ProcessPoolExecutor(16, mp_context=get_context("fork")) as executor:
        for future in [executor.submit(write_description, data_set, out) for _ in range(16)]:
            future.result()
    assert sorted(path.name for path in out.iterdir()) == [".bidsignore", "README", "dataset_description.json"]
    assert json.loads((out / "dataset_description.json").read_text()) == describe_derivative(data_set, out)
