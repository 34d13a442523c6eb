"""A process that does nothing but train: dpm_core.jobs on the digits, without any page.

``python -m benchmarks._job FOLDER [JOB]`` goes on with the run in FOLDER, or starts one there: IMAGE_RUN, or what JOB,
the JSON of a JobConfig, says. Every 20 ms it prints ``step seconds``, seconds being those of training. It takes the
words "pause" and "resume" from its input and ends with it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

ROOT = Path(__file__).resolve().parent.parent
EVERY, PATIENCE = 0.02, 180.0  # seconds
HELD_OUT = 360  # as the Train page


class Training:
    """The process, seen from outside."""

    def __init__(self, folder: Path, job: dict | None = None):
        words = [json.dumps(job)] if job else []
        command = [sys.executable, "-m", "benchmarks._job", str(folder), *words]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.seen: list[tuple[float, int, float]] = []  # when, step, seconds of training; only when they change
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # cut short by the kill
            step, seconds = line.split()
            if not self.seen or int(step) != self.seen[-1][1]:
                self.seen.append((monotonic(), int(step), float(seconds)))

    def first(self) -> tuple[int, float]:
        """Step and seconds of training with which it began; what it begins with it says before it trains."""
        self._wait(1)
        return self.seen[0][1:]

    def last(self) -> tuple[int, float]:
        """The newest step and seconds of training."""
        return self.seen[-1][1:]

    def wait_for_steps(self) -> None:
        """Return when it has taken a step of its own."""
        self._wait(2)

    def _wait(self, lines: int) -> None:
        end = monotonic() + PATIENCE
        while len(self.seen) < lines:
            if self.process.poll() is not None or monotonic() > end:
                raise RuntimeError("The training process ended or said nothing; run `python -m benchmarks._job FOLDER` to see why.")
            sleep(EVERY / 2)

    def say(self, word: str) -> None:
        """ "pause" or "resume"."""
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """kill −9, without any warning."""
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def close(self) -> None:
        """Let it end in good order."""
        self.process.stdin.close()
        self.process.wait(30)


def main() -> None:
    """What runs in that process."""
    import torch

    from dpm_core import jobs
    from dpm_core.config import IMAGE_RUN, from_dict
    from dpm_core.data.images import make_images

    os.environ["DPM_CLUSTER"] = "threads"  # so that it is this process which trains
    folder = Path(sys.argv[1])
    dataset = make_images("digits")
    held_out = dataset.sample_held_out(HELD_OUT, torch.Generator().manual_seed(11))
    if (folder / "job.json").exists():
        job = jobs.resume_run(folder, dataset, held_out, paused=True)
    else:
        endless = replace(IMAGE_RUN, training=replace(IMAGE_RUN.training, steps=1_000_000, decay="none"))
        config = from_dict(jobs.JobConfig, json.loads(sys.argv[2])) if len(sys.argv) > 2 else jobs.JobConfig(folder.name, endless)
        job = jobs.start(replace(config, name=folder.name), dataset, held_out, folder.parent, paused=True)

    def listen() -> None:
        for line in sys.stdin:
            {"pause": job.pause, "resume": job.resume}[line.strip()]()
        job.stop()

    print(job.progress.step, job.progress.seconds, flush=True)
    threading.Thread(target=listen, daemon=True).start()
    job.resume()
    while job.status not in ("finished", "stopped", "failed"):
        job.keep_alive()
        print(job.progress.step, job.progress.seconds, flush=True)
        sleep(EVERY)
    job.join()
    if job.status == "failed":
        sys.exit(job.message)


if __name__ == "__main__":
    main()
