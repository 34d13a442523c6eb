"""A lecture hall on this machine: 100 browsers follow one lecturer while a model trains, and 50 use the app on their own.

The browsers are connections that read everything and draw nothing; they share the processor with the server, as the training does.
First table: the lecturer changes the seed of the Forward page; an update takes from this click until a follower has all of the new
page. Training: steps per second of a run with and without the lecture.
Second table: each of 50 changes a control of Forward, Reverse or Inpaint, every 5 s on average.
Third table: memory of the server before, with all browsers, and two minutes after they have left. ``--soak MINUTES`` repeats coming
and leaving for so long and prints the memory each time.
Targets: followers: median 500 ms, none lost, training slowed by at most 10 %; independent: median 500 ms, 90 % within 1.5 s; memory
afterwards within 10 % of before.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks._report import footer, table, verdict
from benchmarks._viewers import Viewer, cpu_seconds, memory_mb, server, viewers
from dpm_core import jobs
from dpm_core.config import RunConfig, TrainConfig
from dpm_core.data.toy2d import make_dataset
from dpm_core.jobs.process.engine import ProcessEngine

FOLLOWERS, CHANGES, EVERY = 100, 10, 3.0
INDEPENDENT, CLICKS, THINK = 50, 6, 5.0
PAGES = ("forward", "reverse", "inpaint")
LEFT = 130.0  # seconds until a session that has left is forgotten
PORT = 8790
ENDLESS = RunConfig(training=TrainConfig(decay="none"))


def percentile(values: list[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Training:
    """A run of the swiss roll in a process of its own."""

    def __init__(self) -> None:
        data = make_dataset("swiss_roll")
        held_out = data.sample(500)
        folder = Path(tempfile.mkdtemp())
        self.job = jobs.start(jobs.JobConfig("roll", ENDLESS, threads=1), data, held_out, folder, engine=ProcessEngine())

    async def pace(self, seconds: float) -> float:
        """Steps per second of wall-clock time."""
        self.job.keep_alive()
        step, began = self.job.step, time.perf_counter()
        await asyncio.sleep(seconds)
        return (self.job.step - step) / (time.perf_counter() - began)


async def follow(base: str, pid: int, training: Training) -> None:
    """100 followers of one lecturer."""
    async with viewers(base, 1) as (lecturer,):
        await lecturer.open("forward", lecturer="secret")
        alone = await training.pace(15)
        async with viewers(base, FOLLOWERS) as crowd:
            began, used = time.perf_counter(), cpu_seconds(pid)
            await asyncio.gather(*(viewer.open("") for viewer in crowd))
            joined = time.perf_counter() - began
            step = training.job.step
            began, used, delays, lost = time.perf_counter(), cpu_seconds(pid), list[float](), 0
            for seed in range(1, CHANGES + 1):
                clicked = time.perf_counter()
                own = await lecturer.change("Seed", "seed", seed + 100)
                await asyncio.sleep(max(0.0, EVERY - own))
                seen = [viewer.updated(f"seed={seed + 100}") for viewer in crowd]
                delays += [at - clicked for at in seen if at is not None]
                lost += seen.count(None)
            wall = time.perf_counter() - began
            pace = (training.job.step - step) / wall
            share, sent = (cpu_seconds(pid) - used) / wall, sum(viewer.bytes for viewer in crowd) / 1e6
            slowed = 100 * (1 - pace / alone)
            middle = 1e3 * statistics.median(delays)
            cells = [
                f"{joined:.1f}",
                f"{middle:.0f}",
                f"{1e3 * percentile(delays, 0.9):.0f}",
                str(lost),
                f"{slowed:.0f}",
                f"{share:.2f}",
                f"{sent:,.0f}",
            ]
            limits = f"{verdict(middle, 500, 0)}; {verdict(slowed, 10, 0)}"
            head = [
                "followers",
                "all joined, s",
                "update, median ms",
                "90 % ms",
                "lost",
                "training slowed, %",
                "cores of the server",
                "MB sent",
                "targets",
            ]
            table(head, [[str(FOLLOWERS), *cells, limits]])


async def alone(viewer: Viewer, number: int, delays: list[float]) -> None:
    """One person who looks, thinks and changes a control."""
    chance, page = random.Random(number), PAGES[number % len(PAGES)]
    await asyncio.sleep(chance.uniform(0, THINK))
    await viewer.open(page)
    for _ in range(CLICKS):
        await asyncio.sleep(chance.uniform(0.5 * THINK, 1.5 * THINK))
        delays.append(await viewer.change("Seed", "seed", chance.randrange(8)))


async def independent(base: str, pid: int) -> None:
    """50 people who use the app at once."""
    async with viewers(base, INDEPENDENT) as crowd:
        delays: list[float] = []
        await asyncio.gather(*(alone(viewer, i, delays) for i, viewer in enumerate(crowd)))
        middle, most = statistics.median(delays), percentile(delays, 0.9)
        cells = [f"{1e3 * middle:.0f}", f"{1e3 * most:.0f}", f"{1e3 * max(delays):.0f}", str(sum(viewer.lost for viewer in crowd))]
        limits = f"{verdict(1e3 * middle, 500, 0)}; {verdict(1e3 * most, 1500, 0)}"
        table(["people", "clicks", "rerun, median ms", "90 % ms", "slowest ms", "lost", "targets"],
              [[str(INDEPENDENT), str(len(delays)), *cells, limits]])  # fmt: skip


async def everything(soak: float) -> None:
    """All three tables."""
    training = Training()
    with server(PORT, DPM_ROLE="lecture", DPM_LECTURER="secret") as (base, pid):
        await follow(base, pid, training)
    training.job.stop()
    training.job.join(20)
    with server(PORT + 1) as (base, pid):
        async with viewers(base, len(PAGES)) as first:  # all is imported and computed once
            for viewer, page in zip(first, PAGES):
                await viewer.open(page)
                for seed in range(8):
                    await viewer.change("Seed", "seed", seed)
        await asyncio.sleep(LEFT)
        rows, until = [["before", f"{(before := memory_mb(pid)):.0f}", ""]], time.perf_counter() + 60 * soak
        while True:
            await independent(base, pid)
            during = memory_mb(pid)
            await asyncio.sleep(LEFT)
            after = memory_mb(pid)
            rows += [
                ["with all", f"{during:.0f}", ""],
                ["after they have left", f"{after:.0f}", verdict(100 * (after / before - 1), 10, 0) + " %"],
            ]
            if time.perf_counter() > until:
                break
        table(["server", "memory, MB", "target"], rows)
    footer()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=float, default=0.0, help="minutes for which people come and leave")
    asyncio.run(everything(parser.parse_args().soak))
