import numpy as np
import pytest

from neuronat.errors import MemoryShortError, UnusableInputError
from neuronat.space.files import read_volume
from neuronat.space.header import RawHeader
from neuronat.space.limits import pick_frame, require_readable_size
from neuronat.space.memory import free_memory_bytes
from neuronat.space.scan import ReadOptions


def claim(*extents: int, kind: str = "<i2") -> RawHeader:
    return RawHeader(
        file_format="NIfTI-1",
        is_pair=False,
        n_dimensions=len(extents),
        extents=extents,
        dtype=np.dtype(kind),
        offset=352,
        slope=1.0,
        inter=0.0,
        pixdim=(1.0, 1.0, 1.0),
        unit_code=2,
    )


def require(header: RawHeader, *, n_stored: int, free: int = 1 << 40, most: int | None = None) -> None:
    require_readable_size(header, n_stored_bytes=n_stored, is_compressed=True, n_free_bytes=free, max_voxels=most)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_an_absurd_size_is_refused_with_both_numbers(nifti, name):
    path = nifti(name, dim1=30_000, dim2=30_000, dim3=30_000)
    with pytest.raises(
        UnusableInputError, match=r"claims 30000 x 30000 x 30000 voxels \(54000000000352 bytes\).*2147483648"
    ):
        read_volume(path)


def test_sizes_are_computed_without_overflow(nifti):
    n = 32767
    with pytest.raises(UnusableInputError, match="has 4 dimensions"):
        read_volume(nifti(dim0=4, dim1=n, dim2=n, dim3=n, dim4=n))
    assert claim(*[n] * 7).n_voxels == n**7


def test_a_compressed_file_cannot_hold_more_than_deflate_packs():
    require(claim(500, 500, 100), n_stored=60_000)
    with pytest.raises(UnusableInputError, match="40000 compressed bytes cannot hold a scan of that size"):
        require(claim(500, 500, 100), n_stored=40_000)


def test_a_bomb_is_refused_before_it_is_unpacked():
    require(claim(1000, 1000, 300), n_stored=601_000)
    with pytest.raises(UnusableInputError, match=r"599000 compressed bytes.*made to exhaust the memory"):
        require(claim(1000, 1000, 300), n_stored=599_000)


def test_what_does_not_fit_the_free_memory_is_refused_unless_the_user_says_so():
    with pytest.raises(MemoryShortError, match=r"takes 0\.1 GiB, more than a quarter of the 0\.2 GiB of free memory"):
        require(claim(200, 200, 500), n_stored=1 << 20, free=200 << 20)
    require(claim(200, 200, 500), n_stored=1 << 20, free=200 << 20, most=20_000_000)
    with pytest.raises(UnusableInputError, match="the limit is 19999999 voxels"):
        require(claim(200, 200, 500), n_stored=1 << 20, most=19_999_999)


def test_memory_counts_one_frame_only():
    require(claim(100, 100, 100, 50), n_stored=10 << 20, free=25 << 20)


def test_free_memory_is_some_and_no_more_than_a_machine_has():
    assert 1 << 20 < free_memory_bytes() < 1 << 46


def test_one_frame_needs_no_choice_and_several_do():
    assert pick_frame((3, 4, 5), None) == 0
    assert pick_frame((3, 4, 5, 6), 5) == 5
    with pytest.raises(UnusableInputError, match=r"4 dimensions \(3, 4, 5, 6\).*choose one with --frame K, 0 to 5"):
        pick_frame((3, 4, 5, 6), None)
    with pytest.raises(UnusableInputError, match="needs a mask or a label map of one; save the frame that is meant"):
        pick_frame((3, 4, 5, 6), None, is_scan=False)
    with pytest.raises(UnusableInputError, match="has 6 frames; frame 6 does not exist"):
        pick_frame((3, 4, 5, 6), 6)
    with pytest.raises(UnusableInputError, match="needs a 3D volume"):
        pick_frame((64, 64), None)


def test_a_frame_is_read_and_named(nifti, grey):
    frames = np.stack([grey, grey[::-1], grey + 5], axis=-1)
    path = nifti(values=frames)
    with pytest.raises(UnusableInputError, match=r"scan.nii.gz: has 4 dimensions"):
        read_volume(path)
    scan = read_volume(path, ReadOptions(frame=1))
    np.testing.assert_array_equal(scan.volume.values, grey[::-1])
    assert scan.n_frames == 3
    assert scan.notes == ("frame 1 of 3 (counted from 0) was read",)


def test_a_trailing_extent_of_one_is_squeezed(nifti, grey):
    scan = read_volume(nifti(values=grey[..., None], dim0=5))
    np.testing.assert_array_equal(scan.volume.values, grey)
    assert scan.notes == ("has 5 dimensions, those after the third of extent 1: read as 3D",)
