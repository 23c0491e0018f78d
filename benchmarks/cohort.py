"""Measure what a cohort costs: the engine itself with simulated scans, or throughput with real ones.

Usage: python benchmarks/cohort.py [--simulate N...] [--workers N...] [--engine dask|here] [--out FOLDER]
       python benchmarks/cohort.py --scans FOLDER [--model NAME|DIR] [--masks FOLDER] [--workers 1 2 4] [--out FOLDER]

A simulated scan sleeps for a millisecond and writes its volumes and its marker; everything else is the real code:
workers, locks, markers, tables, page, status. Per number of scans one line: seconds per scan, processor time per
scan, the parent's peak memory, and how long `status` and `group` take. Real scans are first segmented one after the
other in one process as `neuronat segment` does, then as cohorts with 1, 2 and 4 workers that share the same cores.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from neuronat import __version__
from neuronat.cohort.engine import open_engine, open_here
from neuronat.cohort.entry import Entry, Job, Selection
from neuronat.cohort.group import collect_group
from neuronat.cohort.ledger import read_rows, row_of_marker
from neuronat.cohort.manifest import find_cohort
from neuronat.cohort.run import Rules, run_cohort
from neuronat.pipeline.settings import SegmentConfig
from neuronat.record import Marker, marker_path, sha256_of, write_marker, write_text

SLEEP_S = 0.001
STRUCTURES = 25


def open_sleep(job, _seat):
    """Return work that sleeps and writes what the tables need."""
    rows = "".join(f"{n}\tstructure {n}\t{1000 * n}\t{1000.0 * n}\tn/a\n" for n in range(1, STRUCTURES + 1))

    def work(entry):
        out = job.out / entry.folder
        time.sleep(SLEEP_S)
        name = f"{entry.stem}_seg-simulated_volumes.tsv"
        write_text(out / name, f"index\tname\tn_voxels\tvolume_mm3\treason\n{rows}")
        notes = {"verdict": "plausible", "duration_s": SLEEP_S, "peak_memory_gb": 0.1, "device": "none"}
        outputs = {name: sha256_of(out / name)}
        marker = Marker(version=__version__, inputs={}, models={}, settings={}, outputs=outputs, notes=notes)
        write_marker(marker_path(out, entry.stem), marker)
        return row_of_marker(marker, entry.folder, entry.stem)

    return work


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", type=int, nargs="+", default=[1, 1000, 5000], metavar="N")
    parser.add_argument("--workers", type=int, nargs="+", default=[], metavar="N")
    parser.add_argument("--engine", choices=("dask", "here"), default="dask")
    parser.add_argument("--out", type=Path, help="where to write; removed afterwards")
    parser.add_argument("--scans", type=Path, help="real scans: a folder, BIDS data set or list")
    parser.add_argument("--masks", type=Path)
    parser.add_argument("--model", default="deepnat")
    chosen = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))
    )  # so that workers find this file under its name
    if chosen.scans:
        measure_throughput(chosen)
        return
    for n in chosen.simulate:
        simulate(n, chosen)


def simulate(n: int, chosen: argparse.Namespace) -> None:
    """Run n simulated scans, then status and group."""
    from cohort import open_sleep as work  # under the name that workers know

    n_workers = (chosen.workers or [2])[0]
    folder = Path(tempfile.mkdtemp(dir=chosen.out))
    try:
        job = Job(out=folder, config=SegmentConfig(n_threads=1), run="simulated", work=work, scans_per_worker=10**9)
        entries = [Entry(Path(f"sub-{i:06d}_T1w.nii.gz"), f"sub-{i:06d}/anat") for i in range(n)]
        began_s, processor_s = time.perf_counter(), processor_time_s()
        opened = open_here(job, n_workers) if chosen.engine == "here" else open_engine(job, n_workers=n_workers)
        with opened as engine:
            tally = run_cohort(entries, job, engine, Rules(), lambda _row, _tally: None)
        took_s, used_s = time.perf_counter() - began_s, processor_time_s() - processor_s
        if tally.counts != {"done": n}:
            raise SystemExit(f"not all done: {tally.counts}")
        began_s = time.process_time()
        if Counter(row.state for row in read_rows(folder)) != {"done": n}:
            raise SystemExit("status does not see all scans")
        status_s, began_s = time.process_time() - began_s, time.process_time()
        collect_group(folder, lambda *_: None)
        group_s = time.process_time() - began_s
        print(
            f"{n} scans, {n_workers} workers, {chosen.engine}: {1000 * took_s / n:.2f} ms and "
            f"{1000 * used_s / n:.2f} ms of processor time per scan, {took_s:.1f} s in all; status {status_s:.1f} s, "
            f"group {group_s:.1f} s of processor time; peak memory of the parent {peak_gb():.2f} GB; "
            f"load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    finally:
        shutil.rmtree(folder)


def measure_throughput(chosen: argparse.Namespace) -> None:
    """Segment real scans one after the other, then as cohorts on the same cores."""
    from neuronat.cohort.machine import measure_machine
    from neuronat.cohort.study import StudyConfig, run_participants
    from neuronat.pipeline.batch import segment_files

    n_cores = measure_machine().n_cores
    entries = find_cohort(chosen.scans, Path("nowhere"), Selection(masks=chosen.masks)).entries
    folder = Path(tempfile.mkdtemp(dir=chosen.out))
    try:
        config = SegmentConfig(models=(chosen.model,), n_threads=n_cores, device="cpu")
        began_s = time.perf_counter()
        for number, entry in enumerate(entries):
            own = SegmentConfig(models=(chosen.model,), n_threads=n_cores, device="cpu", mask=entry.mask)
            for outcome in segment_files([entry.scan], folder / f"single{number}", own):
                if outcome.failure:
                    raise outcome.failure
        report("one after the other", len(entries), time.perf_counter() - began_s, peak_gb())
        for n_workers in chosen.workers or [1, 2, 4]:
            study = StudyConfig(
                segment=SegmentConfig(models=config.models, device="cpu", n_threads=max(1, n_cores // n_workers)),
                selection=Selection(masks=chosen.masks),
                n_workers=n_workers,
            )
            out, began_s = folder / f"cohort{n_workers}", time.perf_counter()
            code = run_participants(chosen.scans, out, study, lambda line, _: print(f"  {line}", flush=True))
            if code:
                raise SystemExit(f"exit code {code}")
            most = max(row.peak_memory_gb or 0 for row in read_rows(out))
            report(f"{n_workers} workers", len(entries), time.perf_counter() - began_s, most)
    finally:
        shutil.rmtree(folder)


def report(what: str, n: int, took_s: float, most_gb: float) -> None:
    print(f"{what}: {n} scans in {took_s:.1f} s, {3600 * n / took_s:.1f} per hour; at most {most_gb:.2f} GB a worker")


def processor_time_s() -> float:
    """Processor time of this process and of its workers that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
