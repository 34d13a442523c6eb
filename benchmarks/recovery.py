"""What a kill costs: a process that trains on the digits through dpm_core.jobs dies by kill −9, three times, at random.

Each time the run is resumed from its folder by a fresh process. Lost are the seconds of training between the last
step that the killed process told of (every 20 ms) and the one that the next begins with; target: at most 10, each
time. "Training again" is wall-clock from the start of the new process to its first step, imports, data and
choice of threads included.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from pathlib import Path
from time import monotonic, sleep

from benchmarks._job import Training
from benchmarks._report import footer, table, verdict

KILLS, BETWEEN, QUICK, TARGET = 3, (10.0, 40.0), (1.0, 3.0), 10.0  # seconds from the first step to the kill


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds of training lost to kill −9.")
    parser.add_argument("--quick", action="store_true", help="only try the script: two kills, before a second state is written")
    parser.add_argument("--seed", type=int, default=0, help="of the random times")
    args = parser.parse_args()
    kills, between = (2, QUICK) if args.quick else (KILLS, BETWEEN)
    times = [random.Random(args.seed + i).uniform(*between) for i in range(kills)]

    rows, losses = [], []
    with tempfile.TemporaryDirectory(prefix="dpm-recovery-") as scratch:
        folder = Path(scratch) / "run"
        training = Training(folder)
        try:
            for i, seconds in enumerate(times):
                training.wait_for_steps()
                sleep(seconds)
                training.kill()
                step, reached = training.last()
                began = monotonic()
                training = Training(folder)
                again_step, again = training.first()
                training.wait_for_steps()
                back = training.seen[1][0] - began
                losses.append(reached - again)
                cells = [f"{seconds:.1f}", f"{step:,}", f"{again_step:,}", f"{losses[-1]:.2f}", f"{losses[-1] / TARGET:.2f}"]
                rows.append([f"{i + 1}", *cells, verdict(losses[-1], TARGET, 0), f"{back:.1f}"])
        finally:
            training.kill()
    worst = max(losses)
    rows.append(["worst", "", "", "", f"{worst:.2f}", f"{worst / TARGET:.2f}", verdict(worst, TARGET, 0), ""])
    table(["kill", "after, s", "at step", "resumed at", "lost, s of training", "÷ target", "target", "training again, s"], rows)
    footer()


if __name__ == "__main__":
    main()
