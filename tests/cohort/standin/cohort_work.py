"""Work that stands in for segmenting, so that faults can be had on demand: the scan's text says what happens.

Workers import this file by its name, from the folder that the fixture `standin` puts on PYTHONPATH. Run as a
script it is a small driver: `python cohort_work.py SOURCE OUT ENGINE N_WORKERS`, which prints a line per scan.
"""

import hashlib
import os
import resource
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from neuronat import __version__
from neuronat.cohort.engine import open_engine, open_here
from neuronat.cohort.entry import Job, Selection
from neuronat.cohort.ledger import row_of_marker
from neuronat.cohort.manifest import find_cohort
from neuronat.cohort.run import Rules, exit_code, run_cohort
from neuronat.pipeline.settings import SegmentConfig
from neuronat.record import Marker, broken_outputs, marker_path, read_marker, temporary_name, write_marker, write_text

LEAKED = []


def open_work(job, _seat):
    """Return the stand-in for one scan."""
    started = job.out / "started"
    started.mkdir(exist_ok=True)

    def work(entry):
        text = entry.scan.read_text()
        out = job.out / entry.folder
        inputs = {entry.scan.name: hashlib.sha256(text.encode()).hexdigest()}
        there = read_marker(marker_path(out, entry.stem))
        if there and there.inputs == inputs and not broken_outputs(there, out):
            return row_of_marker(there, entry.folder, entry.stem, "already done")
        with (started / entry.stem).open("a") as stream:
            stream.write(f"{os.getpid()} {job.config.tile_vox} {job.config.device} {held_bytes()}\n")
        stage = out / temporary_name(entry.stem)
        stage.mkdir()
        (stage / "half").write_text("half")
        behave(text, job)
        names = [f"{entry.stem}_seg-deepnat25_{part}" for part in ("dseg.json", "volumes.tsv")]
        write_text(stage / names[0], "{}\n")
        rows = "".join(f"{i}\t{name}\t{n}\t{n}.0\tn/a\n" for i, name, n in ((2, "White", 1000), (3, "Grey", 900)))
        write_text(stage / names[1], f"index\tname\tn_voxels\tvolume_mm3\treason\n{rows}")
        if text.startswith("large"):
            write_text(stage / f"{entry.stem}_large.txt", "x" * int(text.split()[1]))
            names.append(f"{entry.stem}_large.txt")
        (stage / "half").unlink()
        for name in names:
            (stage / name).replace(out / name)
        stage.rmdir()
        outputs = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in names}
        notes = {"verdict": "plausible", "device": "cpu", "duration_s": 0.1, "fallback": job.config.fallback}
        marker = Marker(version=__version__, inputs=inputs, models={}, settings={}, outputs=outputs, notes=notes)
        write_marker(marker_path(out, entry.stem), marker)
        return row_of_marker(marker, entry.folder, entry.stem)

    return work


def held_bytes():
    """Return how much memory this process holds now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def behave(text, job):
    """Do what the text of the scan says."""
    word, *rest = text.split()
    BEHAVIOURS.get(word, lambda *_: None)(job.config, *rest)


def die(_config, number, *_):
    os.kill(os.getpid(), int(number))


def die_once(config, *_):
    if not config.fallback:
        os.kill(os.getpid(), signal.SIGKILL)


def refuse(_config, *_):
    raise ValueError("not a scan")


def need_memory(config, *_):
    if config.device != "cpu":
        raise RuntimeError(f"CUDA out of memory at tiles of {config.tile_vox}")


def lose_device(config, *_):
    if config.device != "cpu":
        raise RuntimeError("CUDA error: device-side assert triggered")


def storm(_config, n, *_):
    for _ in range(int(n)):
        os.write(2, b"a message that comes again and again\n" * 1000)
    time.sleep(1.5)
    raise ValueError("after a storm")


BEHAVIOURS = {
    "sleep": lambda _, seconds, *__: time.sleep(float(seconds)),
    "leak": lambda _, n, *__: LEAKED.append(bytearray(int(n))),
    "kill": die,
    "kill-once": die_once,
    "corrupt": refuse,
    "memory": need_memory,
    "driver": lose_device,
    "storm": storm,
}


def make_job(out, **changes):
    """Return a job with this work."""
    job = Job(out=Path(out), config=SegmentConfig(n_threads=1), run=f"run{os.getpid()}", work=open_work)
    return replace(job, **changes)


def say(*words):
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


def main():
    """Run a cohort as the command does, without loading torch."""
    import cohort_work  # under its own name, as workers know it

    from neuronat.cli.failures import run_guarded, stop_on_signals

    source, out, engine, n_workers = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    if limit := os.environ.get("LARGEST_FILE"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    stop_on_signals()

    def run():
        out.mkdir(parents=True, exist_ok=True)
        job = cohort_work.make_job(out.resolve())
        entries = find_cohort(source, out, Selection()).entries
        opened = open_here(job, n_workers) if engine == "here" else open_engine(job, n_workers=n_workers)
        rules = Rules(grace_s=float(os.environ.get("GRACE", "30")))
        with opened as chosen:
            say("ready")
            tally = run_cohort(entries, job, chosen, rules, lambda row, _: say(row.stem, row.state, row.message))
        say(tally.ended)
        return exit_code(tally)

    sys.exit(run_guarded(run))


if __name__ == "__main__":
    main()
