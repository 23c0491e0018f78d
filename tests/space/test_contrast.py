import pytest

from neuronat.space.contrast import named_contrast


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
        ("scan of 2020 at T10", None),
        ("", None),
    ],
)
def test_one_contrast_is_named_or_none(text: str, contrast: str | None):
    assert named_contrast(text) == contrast
