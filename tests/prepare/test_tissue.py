import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuronat.errors import ShapeError, UnavailableError, UnusableInputError, UsageError
from neuronat.prepare.tissue import TOOLS, ordered_tissues, require_tool, tissue_map

SHAPE = (20, 24, 28)
MEANS = (0.0, 0.35, 0.65, 1.0)


@pytest.fixture
def drawn(rng):
    """Nested boxes: a rim of fluid around grey matter around white matter, with noise."""
    tissues = np.zeros(SHAPE, np.uint8)
    for tissue, edge in ((1, 2), (2, 4), (3, 7)):
        tissues[edge:-edge, edge:-edge, edge:-edge] = tissue
    noise = rng.normal(0, 0.04, SHAPE)
    return np.where(tissues > 0, np.array(MEANS)[tissues] + noise, 0.0).astype(np.float32), tissues


def installed(name: str):
    """The tool; a test that asks for one that is not installed skips."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(TOOLS[name].module, reason=f"{TOOLS[name].package} of the extra tools is not installed")
        return require_tool(name)


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_tool_finds_what_was_drawn_and_finds_it_again(drawn, name):
    intensities, tissues = drawn
    tool = installed(name)
    found = tissue_map(tool, intensities, tissues > 0)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found > 0, tissues > 0)
    for tissue in (1, 2, 3):
        both = np.count_nonzero((found == tissue) & (tissues == tissue))
        dice = 2 * both / (np.count_nonzero(found == tissue) + np.count_nonzero(tissues == tissue))
        assert dice > 0.97, tissue  # the means are eight spreads of the noise apart
    np.testing.assert_array_equal(tissue_map(tool, intensities, tissues > 0), found)


def test_atropos_starts_from_a_fixed_seed(drawn, rng):
    intensities, tissues = drawn
    noisy = np.where(tissues > 0, np.clip(intensities + rng.normal(0, 0.2, SHAPE), 0.05, 2), 0).astype(np.float32)
    tool = installed("atropos")
    np.testing.assert_array_equal(tissue_map(tool, noisy, tissues > 0), tissue_map(tool, noisy, tissues > 0))


def test_a_tool_leaves_no_files_behind(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    intensities, tissues = drawn
    tissue_map(installed("atropos"), intensities, tissues > 0)
    assert list(Path(tmp_path).iterdir()) == []
    assert tempfile.tempdir == str(tmp_path)


def test_classes_are_ordered_by_grey_value_and_lost_voxels_join_the_darkest():
    intensities = np.array([[[0.9, 0.4, 0.1]], [[0.0, 0.2, 0.5]]], np.float32)
    mask = intensities > 0
    found = np.array([[[4, 9, 2]], [[7, 0, 9]]])
    np.testing.assert_array_equal(ordered_tissues(found, intensities, mask), [[[3, 2, 1]], [[0, 1, 2]]])


def test_two_classes_are_not_three_tissues():
    intensities = np.array([[[0.9, 0.4, 0.1]]], np.float32)
    with pytest.raises(UnusableInputError, match="2 of three tissues were found in the brain mask"):
        ordered_tissues(np.array([[[1, 2, 2]]]), intensities, intensities > 0)


def test_an_answer_on_another_grid_is_refused(drawn):
    intensities, tissues = drawn
    tool = replace(TOOLS["hmrf"], label=lambda values, _mask: values[1:])
    with pytest.raises(ShapeError, match=r"answered with shape \(19, 24, 28\); \(20, 24, 28\) was asked for"):
        tissue_map(tool, intensities, tissues > 0)


def test_an_unknown_tool_and_a_missing_package_are_named(monkeypatch):
    with pytest.raises(UsageError, match="tool fast is not known; known are hmrf, atropos"):
        require_tool("fast")
    monkeypatch.setitem(TOOLS, "hmrf", replace(TOOLS["hmrf"], module="no_such_module"))
    with pytest.raises(UnavailableError, match=r"needs the package dipy .*pip install 'neuronat\[tools\]'"):
        require_tool("hmrf")
