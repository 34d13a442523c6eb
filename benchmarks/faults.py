"""Kill -9 at random moments: the worker of a run, the program that started it, or both, while states are being written.

Each time the program pauses and resumes the run as fast as it can, which writes a state each time, until the kill. Then everything in the
run's folder must be readable, the run must go on, and at most 10 s of training may be lost. A program that is killed alone must leave
a worker that goes on. The count is that of the README's table of faults.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch

from benchmarks._report import footer, table, verdict
from dpm_core import jobs
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.jobs.process.engine import ProcessEngine
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder

WIDE = NetworkConfig("mlp", (("depth", 3), ("features", 8), ("width", 256)))  # a state of 3 MB takes a while to write
RUN = RunConfig(DataConfig("moons"), ScheduleConfig("log_snr", 20), WIDE, TrainConfig(batch=64, decay="none"))
WHAT = ("worker", "program", "both")
MOST_LOST = 10.0  # seconds of training

PROGRAM = """
import sys, time
from pathlib import Path
from benchmarks.faults import RUN, data, jobs
from dpm_core.jobs.process.engine import ProcessEngine
folder = Path(sys.argv[1])
if (folder / "run" / "job.json").exists():
    job = jobs.resume_run(folder / "run", *data(), engine=ProcessEngine())
else:
    job = jobs.start(jobs.JobConfig("run", RUN, threads=1), *data(), folder, engine=ProcessEngine())
print(job.pid, flush=True)
while not job.done:
    print(job.progress.seconds, flush=True)
    job.pause()
    time.sleep(0.01)
    job.resume()
    time.sleep(0.03)
"""


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Points to train on, and held-out ones."""
    points = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    return points[:200], points[200:]


def faults_of(folder: Path) -> list[str]:
    """What in a run's folder cannot be read."""
    files, found = RunFolder(folder), []
    try:
        files.read_header()
    except jobs.JobError:
        found.append("header torn")
    try:
        state = files.read_state()
        step = 0 if state is None else int(state["step"])
        found += ["snapshot torn"] * files.read_snapshots(step)[1]
        MetricsLog(folder / "metrics.jsonl", step)
    except (jobs.JobError, OSError, ValueError):
        found.append("state torn")
    return found


def kill_once(folder: Path, what: str, chance: random.Random) -> tuple[list[str], float]:
    """One kill at a random moment; what went wrong, and the seconds of training that were lost."""
    command = [sys.executable, "-u", "-c", PROGRAM, str(folder)]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parent.parent)
    assert program.stdout is not None
    worker, trained = int(program.stdout.readline()), 0.0
    until = time.monotonic() + chance.uniform(0.2, 2.0)
    while time.monotonic() < until:
        trained = float(program.stdout.readline())
    for pid in {"worker": [worker], "program": [program.pid], "both": [program.pid, worker]}[what]:
        os.kill(pid, signal.SIGKILL)
    wrong, run = list[str](), folder / "run"
    if what == "program":
        (alive,) = ProcessEngine().running(folder, set()) or [None]
        if alive is None:
            wrong.append("worker ended")
        else:
            step = alive.step
            alive.resume()
            time.sleep(0.3)
            wrong += ["worker stands still"] if alive.step <= step else []
            alive.stop()
            alive.join(20)
            alive.close()
    program.kill()
    program.wait()
    while RunFolder(run).is_locked():
        time.sleep(0.01)
    wrong += faults_of(run)
    state = RunFolder(run).read_state()
    lost = max(0.0, trained - (0.0 if state is None else float(state["job.seconds"])))
    return wrong, lost


def main() -> None:
    """Kill, check and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=102, help="in all")
    chance, rows = random.Random(0), []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DPM_RUNS"], kills = folder, parser.parse_args().kills // len(WHAT)
        for what in WHAT:
            wrong, lost = Counter[str](), list[float]()
            for _ in range(kills):
                found, seconds = kill_once(Path(folder), what, chance)
                wrong.update(found)
                lost.append(seconds)
            words = ", ".join(f"{name}: {n}" for name, n in wrong.items()) or "none"
            cells = [f"{statistics.median(lost):.2f}", f"{max(lost):.2f}"]
            rows.append([what, str(kills), words, *cells, verdict(max(lost), MOST_LOST, 0)])
    table(["killed", "times", "faults", "training lost, median s", "most, s", "target"], rows)
    footer()


if __name__ == "__main__":
    main()
