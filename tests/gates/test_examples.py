"""The examples in docs/ do what they say, as far as that goes without their cluster."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_slurm_example_writes_a_job_that_holds_one_scan_at_a_time(root: Path, tmp_path: Path):
    pytest.importorskip("dask_jobqueue", reason="the extra cohort is not installed")
    done = subprocess.run(
        [sys.executable, root / "docs/examples/slurm.py", "--show", "--cores", "6", "--", "in", "out", "participant"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    for words in ("#SBATCH --cpus-per-task=6", "#SBATCH -t 08:00:00", "--nthreads 1 ", "--no-nanny", "--lifetime 450m"):
        assert words in done.stdout
