from pathlib import Path

import pytest

from neuronat.errors import UsageError
from neuronat.measure.pairing import pair_by_name, protocol_of, scan_of


def paths(folder, *names):
    return [Path(folder) / name for name in names]


def paired(predicted, reference, scheme=""):
    """Pair, and show names only."""
    pairing = pair_by_name(paths("p", *predicted), paths("r", *reference), scheme=scheme)
    return [(scan, a.name, b.name) for scan, a, b in pairing.pairs], [path.name for path in pairing.unpaired]


@pytest.mark.parametrize(
    ("name", "scan", "protocol"),
    [
        ("sub-01_seg-deepnat25_dseg.nii.gz", "sub-01", "deepnat25"),
        ("sub-01_ses-a_run-1_space-orig_seg-spm+fast_desc-x_dseg.nii.gz", "sub-01_ses-a_run-1", "spm+fast"),
        ("my scan_seg-deepnat25_dseg.nii.gz", "my scan", "deepnat25"),
        ("1003_3_glm.nii.gz", "1003_3_glm", ""),
        ("case_7_labels.mgz", "case_7", ""),
        ("seg-deepnat25_dseg.nii", "seg-deepnat25_dseg", "deepnat25"),
        ("labels.nii", "labels", ""),
        ("tab\there_dseg.nii", "tab\\there", ""),
    ],
)
def test_a_name_says_scan_and_protocol(name, scan, protocol):
    assert (scan_of(Path("folder") / name), protocol_of(Path("folder") / name)) == (scan, protocol)


def test_scans_pair_whatever_describes_the_labels():
    pairs, unpaired = paired(
        ["sub-02_seg-deepnat25_dseg.nii.gz", "sub-01_seg-deepnat25_dseg.nii.gz"],
        ["sub-01_seg-neuromorphometrics_dseg.nii.gz", "sub-03_dseg.nii.gz", "sub-02_desc-manual_dseg.nii.gz"],
    )
    assert pairs == [
        ("sub-01", "sub-01_seg-deepnat25_dseg.nii.gz", "sub-01_seg-neuromorphometrics_dseg.nii.gz"),
        ("sub-02", "sub-02_seg-deepnat25_dseg.nii.gz", "sub-02_desc-manual_dseg.nii.gz"),
    ]
    assert unpaired == ["sub-03_dseg.nii.gz"]


def test_a_name_may_go_on_from_the_other_and_the_reference_names_the_scan():
    pairs, unpaired = paired(
        ["1003_3_seg-deepnat25_dseg.nii.gz", "sub-01_ses-a_dseg.nii", "sub-1_dseg.nii", "sub-20_dseg.nii"],
        ["1003_3_glm.nii.gz", "sub-01_dseg.nii", "sub-10_dseg.nii", "sub-2_dseg.nii"],
    )
    assert pairs == [
        ("1003_3_glm", "1003_3_seg-deepnat25_dseg.nii.gz", "1003_3_glm.nii.gz"),
        ("sub-01", "sub-01_ses-a_dseg.nii", "sub-01_dseg.nii"),
    ]
    assert unpaired == ["sub-1_dseg.nii", "sub-20_dseg.nii", "sub-10_dseg.nii", "sub-2_dseg.nii"]
    # in the order of the references' names: "-" comes before "_"
    assert [scan for scan, *_ in paired(["x.nii", "x-1.nii"], ["x_z.nii", "x-1.nii"])[0]] == ["x-1", "x_z"]


def test_two_sessions_do_not_pair_with_one_reference():
    pairs, unpaired = paired(["sub-01_ses-a_dseg.nii", "sub-01_ses-b_dseg.nii"], ["sub-01_dseg.nii"])
    assert pairs == []
    assert len(unpaired) == 3


def test_one_protocol_on_both_sides_pairs_first():
    both = ["sub-01_seg-deepnat25_dseg.nii.gz", "sub-01_seg-neuromorphometrics_dseg.nii.gz"]
    pairs, unpaired = paired(both, [both[1], "sub-01_seg-tissue_dseg.nii.gz"])
    assert pairs == [("sub-01", both[1], both[1])]
    assert unpaired == []


def test_a_mapping_decides_between_references():
    pairs, _ = paired(
        ["sub-01_seg-deepnat25_dseg.nii.gz"],
        ["sub-01_seg-tissue_dseg.nii.gz", "sub-01_seg-neuromorphometrics_dseg.nii.gz"],
    )
    assert pairs[0][2] == "sub-01_seg-neuromorphometrics_dseg.nii.gz"


def test_the_scheme_decides_where_several_fit():
    both = ["sub-01_seg-deepnat25_dseg.nii.gz", "sub-01_seg-neuromorphometrics_dseg.nii.gz"]
    for scheme, chosen in zip(("deepnat25", "neuromorphometrics"), both, strict=True):
        assert paired(both, both, scheme)[0] == [("sub-01", chosen, chosen)]
    # neither side has it by name; two map onto it
    others = ["sub-01_seg-tissue_dseg.nii.gz", "sub-01_seg-freesurfer_dseg.nii.gz"]
    assert paired([both[1]], others, "deepnat25")[0] == [("sub-01", both[1], others[1])]


def test_what_nothing_decides_is_refused_with_the_names():
    both = ["sub-01_seg-deepnat25_dseg.nii.gz", "sub-01_seg-neuromorphometrics_dseg.nii.gz"]
    with pytest.raises(UsageError, match=r"scan sub-01 has several label maps \(sub-01_seg-deepnat25_dseg"):
        pair_by_name(paths("p", *both), paths("r", *both))
    with pytest.raises(UsageError, match=r"sub-01_desc-a_dseg.nii, sub-01_desc-b_dseg.nii.*give --scheme"):
        pair_by_name(paths("p", "sub-01_desc-a_dseg.nii", "sub-01_desc-b_dseg.nii"), paths("r", "sub-01_dseg.nii"))
