"""Where compiled code is kept when numba finds no place of its own."""

import os
from pathlib import Path

import numba
import pytest

from neuronat.crf import compiled as module
from neuronat.crf.compiled import compiled


@pytest.fixture
def without_a_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bool]:
    """Let numba find no folder, and note with which `cache` it is asked."""
    asked: list[bool] = []

    def njit(*, cache, **_):
        asked.append(cache)
        if cache and not numba.config.CACHE_DIR:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(module.numba, "njit", njit)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path))
    return asked


def add_one(number):
    return number + 1


def test_without_a_place_a_private_temporary_folder_is_used(without_a_place, tmp_path):
    assert compiled(add_one)(2) == 3
    assert without_a_place == [True, True]
    (folder,) = tmp_path.iterdir()
    assert Path(numba.config.CACHE_DIR) == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_is_not_trusted(without_a_place, tmp_path):
    (tmp_path / f"neuronat-numba-{os.getuid()}").mkdir()
    (tmp_path / f"neuronat-numba-{os.getuid()}").chmod(0o777)
    assert compiled(add_one)(2) == 3
    assert without_a_place == [True, False]


def test_a_link_in_its_place_is_not_followed(without_a_place, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / f"neuronat-numba-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    compiled(add_one)
    assert without_a_place == [True, False]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_where_nothing_can_be_written_nothing_is_kept(without_a_place, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(module.tempfile, "gettempdir", lambda: str(tmp_path / "file"))
    assert compiled(add_one)(2) == 3
    assert without_a_place == [True, False]


def test_a_folder_of_somebody_else_is_not_trusted(without_a_place, monkeypatch):
    somebody = os.getuid() + 1
    monkeypatch.setattr(module.os, "getuid", lambda: somebody)  # what we make belongs to us, and so not to them
    compiled(add_one)
    assert without_a_place == [True, False]
