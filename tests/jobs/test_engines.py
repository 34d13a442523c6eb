"""The same run in every engine: as a thread of this process, and as a process of its own that goes on without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import AuthenticationError
from pathlib import Path

import numpy as np
import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.config import IMAGE_RUN, DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data.images import from_pools
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.data.toy2d import make_dataset
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.process.engine import ProcessEngine, nursery
from dpm_core.jobs.process.messages import ADDRESS_FILE, Address, Line, pack, unpack
from dpm_core.jobs.thread.engine import ThreadEngine

TINY = NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 16)))
RUN = RunConfig(DataConfig("moons"), ScheduleConfig("log_snr", 8), TINY, TrainConfig(batch=16, decay="none", ema=0.9))
UNET = NetworkConfig("unet", (("levels", 1), ("width", 8)))
ENGINES = {"threads": ThreadEngine, "processes": ProcessEngine}


def points(n=64, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)


@pytest.fixture(params=ENGINES)
def engine(request):
    return ENGINES[request.param]()


@pytest.fixture
def start(tmp_path, engine):
    made = []

    def make(name="run", run=RUN, stop=None, data=None, held_out=None, engine=engine, **more):
        config = JobConfig(name, run, stop or Stop(), threads=1)
        data = points() if data is None else data
        made.append(jobs.start(config, data, points(20, 1) if held_out is None else held_out, tmp_path, engine=engine, **more))
        return made[-1]

    yield make
    for job in made:
        if not job.done:
            job.stop()
            job.join(20)
        job.close()


def test_a_run_from_start_to_end(start, engine, tmp_path):
    """Step by step, at another rate, paused, to its end: what is seen at every moment, and the checkpoint."""
    job = start(stop=Stop(steps=40), paused=True)
    assert (job.status, job.step, job.last_step, job.done, job.queue_position) == ("paused", 0, None, False, None)
    job.step_once()
    assert job.step == 1 and job.last_step.step == 1 and job.last_step.x0.shape == (8, 2) and job.status == "paused"
    job.set_learning_rate(0.003)
    assert job.learning_rate == 0.003
    with pytest.raises(JobError, match="must be positive"):
        job.set_learning_rate(-1.0)
    assert [row["learning_rate"] for row in job.metrics()][-1] == 0.003
    job.resume()
    assert job.join(30) and job.done and job.ending and job.status == "finished" and job.step == 40 and not job.message
    assert job.snapshots[0].step <= 1 and job.latest().step == 40
    assert [row["step"] for row in job.metrics()][-1] == 40 and job.metrics(since=2) == job.metrics()[2:]
    t, loss = job.loss_per_time()
    assert len(t) == len(loss) == 7 and np.isfinite(loss).any()
    assert job.progress.step == 40 and job.progress.threads == 1
    path = job.save("kept", tmp_path / "models")
    loaded = checkpoints.load(path)
    assert torch.equal(flat(loaded.model), flat(job.weights())) and loaded.meta["steps"] == 40
    first = job.weights(job.snapshots[0])
    assert not torch.equal(flat(first), flat(job.weights()))
    with pytest.raises(checkpoints.CheckpointError, match="name"):
        job.save("../away", tmp_path)
    with pytest.raises(JobError, match="has ended"):
        job.step_once()


def test_the_engines_give_the_same_weights(tmp_path):
    """30 steps in a thread and in a process, each interrupted at 11: every weight equal."""
    found = []
    for name, engine in ENGINES.items():
        job = jobs.start(JobConfig(name, RUN, Stop(steps=11), threads=1), points(), points(20, 1), tmp_path, engine=engine())
        assert job.join(30)
        job.close()
        job = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=30), engine=engine())
        assert job.join(30) and job.step == 30
        found.append((flat(job.weights()), [s.bound_bits for s in job.snapshots], [row["step"] for row in job.metrics()]))
        job.close()
    assert torch.equal(found[0][0], found[1][0]) and found[0][1][-1] == found[1][1][-1]


def test_data_by_name_of_ones_own_and_pictures(start, engine, tmp_path):
    """A set by its name, a person's own picture with its parts, and the weights of a checkpoint to start with."""
    moons = make_dataset("moons")
    job = start("named", stop=Stop(steps=3), data=moons, held_out=moons.sample(20, torch.Generator().manual_seed(1)))
    assert job.join(30) and job.status == "finished", job.message
    path = job.save("first", tmp_path / "models")
    then = start("then", stop=Stop(steps=1), resume_from=path, paused=True)
    assert torch.equal(flat(then.weights()), flat(checkpoints.load(path).model))
    pictures = np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8)).astype(np.uint8)
    dataset = from_pools("image", "Your own image", pictures[10:], pictures[:10])
    run = replace(IMAGE_RUN, data=DataConfig("image", params=(("size", 8),)), network=UNET)
    run = replace(run, training=replace(run.training, batch=4))
    groups = torch.arange(10) // 2
    job = start("pictures", run, Stop(steps=2), dataset, dataset.sample_held_out(10), groups=groups)
    assert job.join(60) and job.status == "finished", job.message
    assert torch.equal(checkpoints.load(job.save("picture", tmp_path / "models")).dataset.train, dataset.train)
    estimate = job.latest().estimate
    assert len(estimate.t) == 256 and estimate.bound_bits == job.latest().bound_bits and len(estimate.groups.unique()) == 5
    assert job.weights().network is not None and job.latest().frames.shape[2:] == (1, 8, 8)


def test_data_of_a_kind_that_only_the_program_knows(start, monkeypatch):
    from tests.pages.line_kind.data import LineData, LineDataset

    monkeypatch.setitem(DATA_KINDS, "line", LineData())
    line = LineDataset()
    job = start(run=replace(RUN, data=DataConfig("two_bumps")), stop=Stop(steps=3), data=line, held_out=line.sample(20))
    assert job.join(30) and job.status == "finished", job.message


def test_what_cannot_start_is_said_in_one_sentence(start):
    with pytest.raises(JobError, match="at least two finite data"):
        start(held_out=points(1))
    running = start()
    with pytest.raises(JobError, match="is still training"):
        start()
    running.stop()


def test_the_worker_of_a_run_that_cannot_start_ends(tmp_path):
    nursery.warm_up()
    before = _workers()  # those of other tests' runs, which may still be held
    with pytest.raises(JobError, match="finite"):
        jobs.start(JobConfig("run", RUN, threads=1), points(), points(1), tmp_path, engine=ProcessEngine())
    assert not list(tmp_path.iterdir())
    until(lambda: _workers() <= before)


def test_a_run_goes_on_without_the_program_that_started_it(tmp_path):
    """It is found by its id, with everything seen so far, and obeys; a wrong key is refused."""
    code = f"""
import torch
from pathlib import Path
from dpm_core import jobs
from tests.jobs.test_engines import RUN, points, until
job = jobs.start(jobs.JobConfig("run", RUN, threads=1), points(), points(20, 1), Path({str(tmp_path)!r}))
until(lambda: job.step > 20 and job.snapshots)
print(job.id, job.pid)
"""
    environment = os.environ | {"DPM_CLUSTER": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    id, pid = done.stdout.split()
    (job,) = ProcessEngine().running(tmp_path, set())
    assert (job.id, job.pid) == (id, int(pid)) and job.status == "running" and job.snapshots and job.metrics()
    assert ProcessEngine().running(tmp_path, {id}) == []
    step = job.step
    until(lambda: job.step > step + 20)
    place = Address.read(tmp_path / "run")
    assert (tmp_path / "run" / ADDRESS_FILE).stat().st_mode & 0o077 == 0
    with pytest.raises(AuthenticationError):
        Line(replace(place, key="guess"))
    job.stop()
    assert job.join(30) and job.status == "stopped"
    job.close()
    until(lambda: not _alive(int(pid)))
    assert not (tmp_path / "run" / ADDRESS_FILE).exists()


def test_a_worker_that_is_killed(tmp_path):
    """The page has one sentence at once; the run goes on from its last state, exactly."""
    job = jobs.start(JobConfig("run", RUN, threads=1), points(), points(20, 1), tmp_path, engine=ProcessEngine())
    until(lambda: job.step > 50)
    job.pause()
    until(lambda: jobs.runs(tmp_path)[0].step == job.step)
    job.resume()
    until(lambda: jobs.runs(tmp_path)[0].status == "running")
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: job.done)
    assert job.status == "failed" and job.message.count(".") == 2 and "ended unexpectedly" in job.message
    assert jobs.runs(tmp_path)[0].status == "interrupted"
    with pytest.raises(JobError):
        job.weights()
    job.pause()  # without effect
    again = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=200), engine=ProcessEngine())
    assert again.join(60) and again.step == 200
    again.close()


def test_a_worker_whose_folder_is_removed_ends(tmp_path):
    import shutil

    job = jobs.start(JobConfig("run", RUN, threads=1), points(), points(20, 1), tmp_path, engine=ProcessEngine())
    until(lambda: job.step > 5)
    shutil.rmtree(job.folder)
    assert job.join(20)
    job.close()
    until(lambda: not _alive(job.pid))


def test_three_processes_want_two_places(tmp_path):
    """The third waits, whoever started it, and trains when one of the others is killed; the fourth is behind it."""
    made = []
    for name in "abcd":
        config = JobConfig(name, RUN, threads=1)
        made.append(jobs.start(config, points(), points(20, 1), tmp_path, engine=ProcessEngine()))
    first, second, third, fourth = made
    until(lambda: first.step > 0 and second.step > 0)
    assert (third.status, third.queue_position, third.step) == ("queued", 1, 0) and fourth.queue_position == 2
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: third.status == "running" and third.step > 0)
    until(lambda: fourth.queue_position == 1)
    fourth.pause()
    assert fourth.status == "paused" and fourth.queue_position is None
    second.pause()
    fourth.resume()
    until(lambda: fourth.step > 0)
    second.resume()
    assert (second.status, second.queue_position) == ("queued", 1)
    for job in made:
        job.stop()
        assert job.join(30)
        job.close()
    assert list((tmp_path / ".queue").glob("cpu-*")) == []


def test_messages_keep_numbers_and_tensors():
    head = {"a": [1, None, 0.1], "b": float("inf")}
    tensors = {"x": torch.arange(6.0).view(2, 3).T, "none": torch.zeros(0, 2)}
    got, received = unpack(pack(head, tensors))
    assert got == head and all(torch.equal(received[k], v) for k, v in tensors.items())


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _workers():
    """The process ids of all workers that this program's nursery has made and that live."""
    pid = nursery._process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return set(children.read_text().split()) if children.exists() else set()
