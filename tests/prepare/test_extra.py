import tempfile
from pathlib import Path

import pytest

from neuronat.errors import UnavailableError
from neuronat.prepare.extra import private_temporary_files, require_package


def test_a_missing_package_is_named_with_what_installs_it():
    require_package("this", "numpy", "numpy")
    with pytest.raises(
        UnavailableError, match=r"^this needs the package x \(No module named 'no_x'\); install .*tools"
    ):
        require_package("this", "x", "no_x")


def test_temporary_files_go_with_their_folder_and_the_old_one_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with private_temporary_files():
        Path(tempfile.mkdtemp(), "left").write_text("behind")
        assert len(list(tmp_path.rglob("left"))) == 1
    assert list(tmp_path.iterdir()) == []
    assert tempfile.tempdir == str(tmp_path)
