import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuronat.space.memory import (
    cgroup_folders,
    free_memory_bytes,
    held_memory_bytes,
    release_memory,
)

GB = 10**9


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {64 * GB // 1024} kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_without_groups_it_is_what_the_machine_has(tmp_path: Path):
    assert free_memory_bytes(write(tmp_path, {})) == 64 * GB // 1024 * 1024


def test_the_tightest_group_of_version_2_counts_and_droppable_pages_are_free(tmp_path: Path):
    job = "sys/fs/cgroup/slurm/job_7"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/slurm/job_7/step_0\n",
            f"{job}/step_0/memory.max": "max\n",
            f"{job}/step_0/memory.current": f"{GB}\n",
            f"{job}/memory.max": f"{8 * GB}\n",
            f"{job}/memory.current": f"{3 * GB}\n",
            f"{job}/memory.stat": f"anon {GB}\ninactive_file {2 * GB}\n",
        },
    )
    assert free_memory_bytes(root) == 7 * GB


def test_groups_of_version_1_are_found_by_their_controller(tmp_path: Path):
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/a\n4:memory:/box/inner\n",
            "sys/fs/cgroup/memory/box/memory.limit_in_bytes": f"{4 * GB}\n",
            "sys/fs/cgroup/memory/box/memory.usage_in_bytes": f"{5 * GB}\n",
            "sys/fs/cgroup/memory/box/memory.stat": f"inactive_file 1\ntotal_inactive_file {2 * GB}\n",
        },
    )
    assert free_memory_bytes(root) == GB
    top = tmp_path / "sys/fs/cgroup"
    assert cgroup_folders("cpu", root) == (top / "cpu/a", top / "cpu")
    assert cgroup_folders("", root) == (top,)


PEAK = """
import numpy as np
from neuronat.space.memory import held_memory_bytes, peak_memory_bytes, reset_peak_memory
reset_peak_memory()
before = peak_memory_bytes()
held = np.ones(30_000_000)
grown, holds, n_bytes = peak_memory_bytes(), held_memory_bytes(), held.nbytes
del held
reset_peak_memory()
print(before, n_bytes, holds, grown, peak_memory_bytes())
"""  # in a process of its own: memory that an earlier test freed would serve the array


def test_the_peak_counts_what_was_held_and_starts_anew():
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    before, n_bytes, holds, grown, anew = map(int, done.stdout.split())
    assert grown - before > 0.9 * n_bytes
    assert n_bytes < holds <= grown + 1_000_000  # the kernel counts pages per thread and sums them up now and then
    assert anew < grown - 100_000_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_what_was_freed_goes_back_to_the_system():
    pieces = [np.ones(2000) for _ in range(20_000)]  # 16 kB each, from the heap
    last = np.ones(2000)  # stands in the way of what the heap gives back by itself
    held = held_memory_bytes()
    del pieces
    release_memory()
    assert held - held_memory_bytes() > 0.8 * 20_000 * last.nbytes


FREES = """
import numpy as np
from neuronat.space.memory import held_memory_bytes, keep_freed_memory
for is_kept in (False, True):
    keep_freed_memory(is_kept=is_kept)
    before, array = held_memory_bytes(), np.ones(10_000_000)
    del array
    print(is_kept, (held_memory_bytes() - before) // 1_000_000)
"""  # in a process of its own: free places of the heap would serve the array


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_a_large_array_that_was_freed_is_kept_or_given_back():
    lines = subprocess.run([sys.executable, "-c", FREES], capture_output=True, text=True, check=True).stdout.split()
    kept_mb = dict(zip(lines[::2], map(int, lines[1::2]), strict=True))
    assert kept_mb["False"] < 10 < 70 < kept_mb["True"] <= 80


def test_where_the_system_does_not_say_what_is_free_all_memory_counts(tmp_path: Path, monkeypatch):
    known = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4 * 2**20}  # what macOS has: no SC_AVPHYS_PAGES

    def ask(name: str) -> int:
        if name not in known:
            raise ValueError("unrecognized configuration name")
        return known[name]

    monkeypatch.setattr("os.sysconf", ask)
    assert free_memory_bytes(tmp_path) == 16 * 2**30
