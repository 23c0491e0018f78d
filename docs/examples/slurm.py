"""Run `neuronat bids` on workers that Dask starts as Slurm jobs.

Usage: python slurm.py [--jobs N] [--cores N] [--memory 16GB] [--hours 8] [--show] -- ARGUMENTS OF BIDS

Each job is one Dask worker with one scan at a time, on all its cores. `--show` prints the job script and stops.
"""

import argparse
import subprocess
import sys


def main() -> int:
    """Start the cluster, run on it, and take it down."""
    from dask_jobqueue import SLURMCluster

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--cores", type=int, default=4)
    parser.add_argument("--memory", default="16GB")
    parser.add_argument("--hours", type=int, default=8, help="of each job")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("arguments", nargs="*", help="of neuronat bids")
    chosen = parser.parse_args()
    with SLURMCluster(
        cores=1,  # threads of the Dask worker: one scan at a time
        processes=1,
        job_cpu=chosen.cores,
        memory=chosen.memory,
        walltime=f"{chosen.hours:02d}:00:00",
        # the job ends in good order before its time, and Dask gives its scan to another one
        worker_extra_args=["--lifetime", f"{60 * chosen.hours - 30}m", "--lifetime-stagger", "10m", "--no-nanny"],
    ) as cluster:
        if chosen.show:
            print(cluster.job_script())
            return 0
        cluster.adapt(minimum_jobs=1, maximum_jobs=chosen.jobs)
        command = [sys.executable, "-m", "neuronat", "bids", *chosen.arguments]
        options = ["--scheduler", cluster.scheduler_address, "--threads", str(chosen.cores)]
        return subprocess.run([*command, *options], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
