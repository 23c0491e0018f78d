from pathlib import Path

import numpy as np
import pytest

from neuronat.space.contrast import contrast_objection, is_ct_like, named_contrast


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        ("t1_mprage_sag_p2_iso", "T1"),
        ("WIP sT1W_3D_TFE SENSE", "T1"),
        ("tfl3d1_16ns", "T1"),
        ("Ax FSPGR BRAVO", "T1"),
        ("sub-01_T1w", "T1"),
        ("t2_tse_tra", "T2"),
        ("sub-01_T2w", "T2"),
        ("3D FLAIR", "FLAIR"),
        ("t2_space_dark-fluid", "FLAIR"),
        ("TOF_3D_multi-slab", "angiography"),
        ("SWI_Images", "susceptibility"),
        ("sub-01_T2starw", "susceptibility"),
        ("ep2d_bold_rest", "EPI"),
        ("ep2d_diff_mddw", None),
        ("DTI 64 directions", "diffusion"),
        ("PDw", "PD"),
        ("AAHead_Scout", "a localizer"),
        ("gre_field_mapping", "a field map"),
        ("T1 map", "a quantitative map"),
        ("pd+t2 double echo", None),
        ("t1 and t2", None),
        ("diffusion", "diffusion"),
        ("resolve_TRACEW", "diffusion"),
        ("pCASL perfusion", "EPI"),
        ("angiography", "angiography"),
        ("Epilepsy", None),
        ("3D TFE perfect", None),
        ("Tracer study", None),
        ("Diffuse axonal injury", None),
        ("PET-MR Brain", None),
        ("cavernous angioma", None),
        ("scan of 2020 at T10", None),
        ("", None),
    ],
)
def test_one_contrast_is_named_or_none(text: str, contrast: str | None):
    assert named_contrast(text) == contrast


@pytest.mark.parametrize(
    ("name", "objection"),
    [
        ("sub-01_T2w.nii.gz", "its name says T2"),
        ("FLAIR.nii", "its name says FLAIR"),
        ("head-ct.mgz", "its name says CT"),
        ("sub-01_task-rest_bold.nii.gz", "its name says EPI"),
        ("sub-01_T1w.nii.gz", ""),
        ("T2 of T1w.nii", ""),
        ("control_PD.nii.gz", ""),  # a disease
        ("ct_scan_of_anna.nii", ""),
    ],
)
def test_the_last_word_of_a_name_may_object(tmp_path: Path, name: str, objection: str):
    assert contrast_objection(tmp_path / name, None) == objection


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ('{"Modality": "CT<script>"}', "its sidecar says modality CTSCRIPT"),
        ('{"SeriesDescription": "Anna t2_tse"}', "its sidecar says T2"),
        ('{"PulseSequenceType": "Gradient Echo EPI"}', "its sidecar says EPI"),
        ('{"ProtocolName": "PD Study (Parkinson)", "SeriesDescription": null, "Modality": null}', ""),
        ('{"ProtocolName": "CT planning", "Modality": ""}', ""),
        ('{"ProtocolName": "t1_mprage", "SeriesDescription": "EPI"}', ""),
        ('{"ProtocolName": "CT", "SeriesDescription": "FLAIR"}', "its sidecar says FLAIR"),
        ('{"EchoTime": 0.031}', "its echo time of 31 ms is not that of a T1"),
        ('{"EchoTime": 0.0046, "Modality": "MR", "ProtocolName": "mprage"}', ""),
        ("no json", ""),
        ('\ufeff{"Modality": "CT"}', "its sidecar says modality CT"),  # as Notepad writes it
        ('["list"]', ""),
        ("[" * 100_000, ""),
        ('{"EchoTime": "long", "SeriesDescription": 7}', ""),
    ],
)
def test_a_sidecar_may_object(tmp_path: Path, text: str, objection: str):
    (tmp_path / "scan.json").write_text(text)
    assert contrast_objection(tmp_path / "scan.nii.gz", None) == objection


def test_a_huge_sidecar_is_not_read(tmp_path: Path):
    (tmp_path / "scan.json").write_text('{"Modality": "CT", "x": "' + "x" * (1 << 20) + '"}')
    assert contrast_objection(tmp_path / "scan.nii", None) == ""


def test_a_long_echo_in_the_header_objects(tmp_path: Path):
    assert contrast_objection(tmp_path / "scan.nii", 30.5) == "its echo time of 30.5 ms is not that of a T1"
    assert contrast_objection(tmp_path / "scan.nii", 30.0) == ""


def test_hounsfield_units_are_known_by_air_water_and_bone():
    values = np.concatenate([np.full(50, -1000), np.full(40, 35), np.full(10, 900)]).astype(np.float32)
    assert is_ct_like(values)
    assert not is_ct_like(values + 1000)
    assert not is_ct_like(values[:90])  # no bone
    assert not is_ct_like(values[50:])  # no air
    assert not is_ct_like(np.linspace(-2, 3, 100, dtype=np.float32))
