import gzip

import numpy as np
import pytest

from neuronat.errors import UnusableInputError
from neuronat.space.files import read_volume
from neuronat.space.stream import chunks_of, is_gzip, read_head, read_range


def content_of(path) -> bytes:
    return b"".join(chunks_of(path))


def test_a_gzip_file_of_several_members_and_padding_is_one_content(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"first ") + gzip.compress(b"second") + bytes(7))
    assert content_of(path) == b"first second"
    path.write_bytes(b"not compressed")
    assert content_of(path) == b"not compressed"
    assert not is_gzip(path)


def test_head_and_range_are_parts_of_the_content(tmp_path):
    content = bytes(range(200)) * 20_000
    for name, stored in (("a.gz", gzip.compress(content)), ("a", content)):
        path = tmp_path / name
        path.write_bytes(stored)
        assert read_head(path, 300) == content[:300]
        assert read_range(path, 1_500_003, stop=3_000_001, n_declared=len(content)) == content[1_500_003:3_000_001]


def test_what_follows_a_compressed_stream_is_noticed(nifti):
    path = nifti()
    path.write_bytes(path.read_bytes() + b"garbage")
    with pytest.raises(UnusableInputError, match="compressed stream is damaged"):
        read_volume(path)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_a_truncated_compressed_file_says_how_much_is_there(nifti, grey, share):
    path = nifti()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    n_expected = 352 + grey.nbytes
    with pytest.raises(
        UnusableInputError, match=rf"^scan.nii.gz: file is cut off: expected {n_expected} bytes, got \d+"
    ):
        read_volume(path)


def test_a_stream_without_its_last_bytes_is_cut_off(nifti):
    path = nifti()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UnusableInputError, match="the end of the compressed stream is missing"):
        read_volume(path)


def test_a_stream_cut_inside_the_header_is_cut_off(nifti):
    path = nifti()
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(UnusableInputError, match="ends inside the header"):
        read_volume(path)


def test_a_truncated_plain_file_says_how_much_is_there(nifti, grey):
    path = nifti("scan.nii")
    path.write_bytes(path.read_bytes()[:7744])
    with pytest.raises(UnusableInputError, match=f"file is cut off: expected {352 + grey.nbytes} bytes, got 7744"):
        read_volume(path)


def test_a_wrong_checksum_is_noticed(nifti):
    path = nifti()
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    with pytest.raises(UnusableInputError, match="checksum of the compressed stream does not match"):
        read_volume(path)


def test_no_flipped_bit_changes_voxels_unnoticed(nifti, grey, rng):
    path = nifti()
    whole = path.read_bytes()
    n_refused = 0
    for _ in range(60):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            np.testing.assert_array_equal(read_volume(path).volume.values, grey)
        except UnusableInputError:
            n_refused += 1
    assert n_refused >= 55


def test_a_name_that_promises_another_compression_is_accepted_with_a_warning(nifti, grey):
    plain = nifti("scan.nii")
    compressed = nifti("other.nii.gz")
    for path, name, words in (
        (plain, "plain.nii.gz", "named as if compressed, and is not"),
        (compressed, "packed.nii", "compressed, though its name does not say so"),
    ):
        scan = read_volume(path.rename(path.with_name(name)))
        assert scan.warnings == (words,)
        np.testing.assert_array_equal(scan.volume.values, grey)


def test_a_stream_that_goes_on_beyond_its_header_is_stopped(nifti):
    path = nifti(dim3=2)
    content = gzip.decompress(path.read_bytes()) + bytes(3 << 20)
    path.write_bytes(gzip.compress(content, 1))
    with pytest.raises(UnusableInputError, match="goes on after the 7392 bytes that the header declares"):
        read_volume(path)
