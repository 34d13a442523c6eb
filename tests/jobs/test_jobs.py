"""Jobs: the same weights whatever happens in between, who may train when, what is said when something goes wrong."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import dpm_core.jobs.storage.run_folder as disk
import dpm_core.jobs.thread.job_queue
import dpm_core.jobs.thread.record as record
import dpm_core.jobs.thread.worker
from dpm_core import checkpoints, jobs
from dpm_core.cli import train
from dpm_core.cli.main import make_parser
from dpm_core.config import IMAGE_RUN, DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig, from_dict, to_dict, to_json
from dpm_core.data.images import ImageDataset, make_images
from dpm_core.data.sources import usual_run
from dpm_core.data.toy2d import make_dataset
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.thread.engine import ThreadEngine
from dpm_core.jobs.thread.provenance import command_line, with_defaults
from dpm_core.networks import NETWORKS
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import SCHEDULES, make_schedule
from dpm_core.training import Trainer, train_steps

TINY = NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 16)))
RUN = RunConfig(DataConfig("moons"), ScheduleConfig("log_snr", 8), TINY, TrainConfig(batch=16, decay="none", ema=0.9))
ROOT = Path(__file__).resolve().parents[2]


def points(n=64, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


class Clock:
    """Seconds that pass only when told: by ``tick`` at every look, or by adding to ``now``."""

    def __init__(self, tick=0.0):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.fixture(autouse=True)
def end_all_jobs():
    yield
    for job in jobs.jobs():
        job.stop()
    for job in list(jobs._jobs.values()):
        assert job.join(60)


@pytest.fixture
def start(tmp_path):
    def make(
        name="run",
        stop=None,
        run=RUN,
        data=None,
        held_out=None,
        root=tmp_path,
        resume_from=None,
        paused=False,
        clock=time.monotonic,
        **more,
    ):
        config = JobConfig(name, run, stop or Stop(), threads=1, **more)
        data = points() if data is None else data
        held_out = points(20, 1) if held_out is None else held_out
        return jobs.start(config, data, held_out, root, resume_from, paused=paused, engine=ThreadEngine(clock))

    return make


def until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.002)


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def averages(steps, run=RUN, data=None):
    """The averaged weights after 0, 1, …, ``steps`` steps, never interrupted."""
    diffusion = GaussianDiffusion(make_schedule(run.schedule.name, run.schedule.T))
    model = build_model(run.network, diffusion, seed=run.training.seed)
    found = [flat(model).clone()]
    training = replace(run.training, steps=steps)
    return found + [flat(step.average).clone() for step in train_steps(model, points() if data is None else data, training)]


def test_a_job_trains_as_the_training_loop_does(start):
    """60 steps: bit for bit the weights of train_steps; the global generator and this thread's number of threads as before."""
    torch.manual_seed(5)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    job = start(stop=Stop(steps=60))
    assert job.join(60) and job.status == "finished" and job.message == ""
    assert torch.equal(flat(job.weights()), averages(60)[-1])
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert job.snapshots[0].step == 0 and job.latest().step == job.step == 60
    rows = job.metrics()
    steps = [row["step"] for row in rows if "loss" in row]
    assert steps == sorted(set(steps)) and steps[0] == 1 and steps[-1] == 60
    assert rows == job.metrics(0) and rows[3:] == job.metrics(3) and job.metrics(len(rows)) == []
    assert job.progress.step == 60 and job.progress.eta_seconds == 0 and job.progress.seconds > 0 and job.progress.threads == 1
    assert jobs.get(job.id) is job and job not in jobs.jobs()


def test_a_cosine_ends_where_its_rate_is_zero(start):
    run = replace(RUN, training=replace(RUN.training, decay="cosine", steps=12))
    job = start(run=run)
    assert job.join(60) and job.status == "finished" and job.step == 12


def test_pausing_changes_nothing(start):
    """Paused, stepped one by one, resumed and paused again at any moment: the weights of a run that never was."""
    wanted = averages(200)
    job = start(stop=Stop(steps=200), paused=True)
    for k in range(1, 4):
        job.step_once()
        assert job.step == k and job.status == "paused" and torch.equal(flat(job.weights()), wanted[k])
    for _ in range(3):
        job.resume()
        before = job.step
        until(lambda before=before: job.step > before)
        job.pause()
        job.pause()
        step = job.step
        assert torch.equal(flat(job.weights()), wanted[step])
        time.sleep(0.02)
        assert job.step == step and job.status == "paused"
    until(lambda: disk.RunFolder(job.folder).state_step() == step)
    job.resume()
    job.resume()
    assert job.join(60) and torch.equal(flat(job.weights()), wanted[200])
    for method in (job.pause, job.resume, job.stop):
        method()
        assert job.status == "finished"
    with pytest.raises(JobError, match="has ended"):
        job.step_once()


def test_a_step_in_slow_motion(start):
    """What is shown of step 2 is what the network after step 1 says of the batch that a second trainer draws for step 2."""
    job = start(paused=True)
    job.step_once()
    job.step_once()
    seen = job.last_step
    model = build_model(TINY, GaussianDiffusion(make_schedule("log_snr", 8)))
    trainer = Trainer(model, points(), RUN.training)
    trainer.step()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    step = trainer.step()
    model.load_state_dict(before)
    rows = [round(i * 15 / 7 - 0.499) for i in range(8)]
    assert torch.equal(seen.t, step.batch.t[rows]) and torch.equal(seen.x0, step.batch.x0[rows]) and torch.equal(seen.target, seen.x0)
    assert torch.equal(seen.noise, step.batch.noise[rows]) and torch.equal(seen.losses, step.losses[rows])
    bar = model.diffusion.schedule.alpha_bar(seen.t).float()[:, None]
    torch.testing.assert_close(seen.xt, bar.sqrt() * seen.x0 + (1 - bar).sqrt() * seen.noise)
    with torch.no_grad():
        mean, variance = model.x0_posterior(seen.xt, seen.t)
    torch.testing.assert_close(seen.prediction, mean)
    torch.testing.assert_close(seen.variance, variance)
    assert (seen.step, seen.loss, seen.gradient_norm) == (2, step.loss, step.gradient_norm)


def test_weights_are_those_of_one_step(start):
    """Copies taken while it trains, from three threads: each is the average after some step, none a mixture."""
    wanted = {bytes(w.numpy()): k for k, w in enumerate(averages(200))}
    job = start(stop=Stop(steps=200))
    taken = [[] for _ in range(3)]

    def take(mine):
        while job.status == "running":
            mine.append(bytes(flat(job.weights()).numpy()))
            time.sleep(0.001)

    threads = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine in taken:
        steps = [wanted[weights] for weights in mine]
        assert len(set(steps)) > 3 and steps == sorted(steps)


def test_the_learning_rate_changes_without_a_reset(start):
    """10 steps at one rate, 10 at another: as a trainer whose rate is set between; the log says so."""
    job = start(paused=True)
    for k in range(20):
        if k == 10:
            job.set_learning_rate(0.05)
        job.step_once()
    trainer = Trainer(build_model(TINY, GaussianDiffusion(make_schedule("log_snr", 8))), points(), RUN.training)
    for k in range(20):
        if k == 10:
            trainer.learning_rate = 0.05
        trainer.step()
    assert torch.equal(flat(job.weights()), flat(trainer.average)) and job.learning_rate == 0.05
    rates = {(row["step"], row["learning_rate"]) for row in job.metrics()}
    assert {(9, 0.01), (10, 0.01), (10, 0.05), (20, 0.05)} <= rates
    for wrong in (0, -1, float("nan"), float("inf")):
        with pytest.raises(JobError, match="positive"):
            job.set_learning_rate(wrong)


def test_seconds_are_those_of_training(start, tmp_path):
    """A quarter of a second per step by the clock, 2.5 s: ten steps, four of them before a restart, and an hour of pause."""
    clock = Clock(0.25)
    job = start(stop=Stop(seconds=2.5), paused=True, clock=clock)
    for _ in range(4):
        job.step_once()
    clock.now += 3000
    assert job.progress.seconds == 1.0
    job.stop()
    assert job.join(60) and job.status == "stopped"
    job = jobs.resume_run(job.folder, points(), points(20, 1), engine=ThreadEngine(Clock(0.25)))
    assert job.join(60) and job.status == "finished" and job.step == 10 and job.progress.seconds == 2.5


def test_three_want_two_places(start, monkeypatch):
    """First come, first served; a pause gives the place up, and who comes back stands at the end."""
    monkeypatch.setitem(dpm_core.jobs.thread.job_queue.CAPACITY, "cpu", 2)
    a, b, c, d = (start(name) for name in "abcd")
    until(lambda: a.step and b.step)
    assert [job.status for job in (a, b, c, d)] == ["running", "running", "queued", "queued"]
    assert [job.queue_position for job in (a, b, c, d)] == [None, None, 1, 2] and c.step == d.step == 0
    a.pause()
    assert [job.status for job in (a, b, c, d)] == ["paused", "running", "running", "queued"] and d.queue_position == 1
    a.resume()
    assert a.status == "queued" and a.queue_position == 2 and jobs.jobs() == [a, b, c, d]
    b.stop()
    until(lambda: d.step)
    assert a.queue_position == 1 and b not in jobs.jobs()
    a.step_once()  # one step does not wait for a place
    assert a.status == "paused"
    c.stop()
    a.resume()
    until(lambda: a.status == "running")
    queued = start("e")
    queued.stop()
    assert queued.join(60) and queued.status == "stopped"


def test_who_is_not_looked_at_pauses(start):
    """After 180 s, running or queued; one look puts it off; after an hour a paused one stops. All can go on."""
    clock = Clock()
    job = start(clock=clock)
    until(lambda: job.step > 2)
    clock.now = 100
    job.keep_alive()
    clock.now = 279
    step = job.step
    until(lambda: job.step > step + 2)
    assert job.status == "running"
    clock.now = 281
    until(lambda: job.status == "paused")
    assert "without an open page" in job.message and "3 minutes" in job.message
    job.resume()
    assert job.status == "running" and job.message == ""
    job.pause()
    clock.now += 3601
    assert job.join(60) and job.status == "stopped" and "resume" in job.message


def test_a_loss_that_is_not_finite(start):
    """Data that turn NaN: failed, the step named, the last good weights kept, on disk too."""
    data = points()
    job = start(data=data)
    until(lambda: job.step > 3)
    data.fill_(float("nan"))
    assert job.join(60) and job.status == "failed"
    assert f"step {job.step + 1}" in job.message and f"step {job.step} are unchanged" in job.message
    assert bool(flat(job.weights()).isfinite().all()) and disk.RunFolder(job.folder).state_step() == job.step
    assert job.save("kept", job.folder).exists()
    job = jobs.resume_run(job.folder, points(), points(20, 1), paused=True)
    job.step_once()
    assert job.status == "paused"


def test_a_batch_that_does_not_fit_the_memory(start, monkeypatch):
    """The device refuses more than 5 data: failed, with the batch that fits."""
    backward = Trainer._backward

    def small(trainer, batch):
        if len(batch.x0) > 5:
            raise torch.OutOfMemoryError
        return backward(trainer, batch)

    monkeypatch.setattr(Trainer, "_backward", small)
    job = start()
    assert job.join(60) and job.status == "failed" and job.suggested_batch == 4 and "a batch of 4 fits" in job.message


def test_an_error_that_nobody_expected(start, monkeypatch):
    """Failed, with one sentence, and the traceback in error.txt; the last state on disk stays as it was."""
    job = start(paused=True)
    job.step_once()
    until(lambda: disk.RunFolder(job.folder).state_step() == 1)
    monkeypatch.setattr(Trainer, "step", lambda self: 1 / 0)
    job.resume()
    assert job.join(60) and job.status == "failed" and "ZeroDivisionError" in job.message and job.message.endswith(".")
    text = (job.folder / "error.txt").read_text()
    assert "Traceback" in text and "ZeroDivisionError" in text and disk.RunFolder(job.folder).state_step() == 1
    job.keep_alive()
    assert [info.status for info in jobs.runs(job.folder.parent)] == ["failed"]


def test_a_full_disk(start, monkeypatch):
    """Training goes on and says why nothing is written; what is there stays; once there is room all is written."""
    clock, full = Clock(), threading.Event()
    write = disk.replace_file

    def maybe(path, data):
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    monkeypatch.setattr(disk, "replace_file", maybe)
    job = start(clock=clock)
    folder = disk.RunFolder(job.folder)
    until(lambda: job.step > 2)
    kept = folder.state_step()
    full.set()
    clock.now += 9
    until(lambda: job.message)
    assert "No space left on device" in job.message and "training continues" in job.message
    step = job.step
    until(lambda: job.step > step + 2)
    assert job.status == "running" and folder.state_step() == kept and folder.read_state() is not None
    job.pause()
    full.clear()
    assert folder.state_step() == kept
    clock.now += 9
    until(lambda: job.message == "")
    assert folder.state_step() == job.step
    full.set()
    job.stop()
    assert job.join(60) and job.status == "stopped" and "save a checkpoint" in job.message


def test_snapshots_are_thinned(start, monkeypatch):
    """One at every step, 100 steps: never more than 40, first and last among them; on disk the same. All from one noise."""
    monkeypatch.setattr(record, "SNAPSHOT_EVERY", (0.0, 0.0))
    monkeypatch.setattr(record, "MAX_SNAPSHOT_SHARE", float("inf"))
    job = start(stop=Stop(steps=100), snapshot_samples=5, sample_steps=4)
    assert job.join(60)
    steps = [s.step for s in job.snapshots]
    assert 20 <= len(steps) <= 40 and steps[0] == 0 and steps[-1] == 100 and steps == sorted(set(steps))
    on_disk, bad = disk.RunFolder(job.folder).read_snapshots(100)
    assert [s.step for s in on_disk] == steps and bad == 0
    assert sum("bound_bits" in row for row in job.metrics()) == 101
    for snapshot, read in zip(job.snapshots, on_disk):
        assert snapshot.times.tolist() == [8, 6, 3, 1, 0] and snapshot.frames.shape == (5, 5, 2)
        assert np.array_equal(snapshot.frames[0], job.snapshots[0].frames[0]) and np.array_equal(snapshot.frames, read.frames)
    model = job.weights(job.latest())
    torch.testing.assert_close(flat(model), flat(job.weights()), rtol=1e-3, atol=1e-5)
    with pytest.raises(JobError, match="discarded"):
        job.weights(replace(job.latest(), weights=None))


def test_snapshots_take_a_small_part_of_the_time(start, monkeypatch):
    """Steps of ½ s: a snapshot that costs 4 s comes again after 40 s, one of 1.5 s after 20, of 3/8 s after 6.25, of 1 ms after 1."""
    for cost, gap in ((4.0, 40.0), (1.5, 20.0), (0.375, 6.5), (2**-10, 1.0)):
        clock = Clock()
        job = start(f"run{int(gap)}", paused=True, clock=clock)
        evaluator = job._worker.context.evaluator
        monkeypatch.setattr(evaluator, "take_snapshot", _slower(evaluator.take_snapshot, clock, cost))
        monkeypatch.setattr(job._worker.trainer, "step", _slower(job._worker.trainer.step, clock, 0.5))
        for _ in range(85):
            job.step_once()
        at = [row["seconds"] for row in job.metrics() if "bound_bits" in row]
        assert at[0] == 0 and np.diff(at).tolist() == [gap] * int(42 / gap)


def _slower(method, clock, seconds):
    def slow(*arguments):
        clock.now += seconds
        return method(*arguments)

    return slow


def test_a_plateau_ends_the_run(start, monkeypatch):
    """A learning rate too small to change anything: stopped after the fewest snapshots that show it."""
    monkeypatch.setattr(record, "SNAPSHOT_EVERY", (0.0, 0.0))
    monkeypatch.setattr(record, "MAX_SNAPSHOT_SHARE", float("inf"))
    run = replace(RUN, training=replace(RUN.training, learning_rate=1e-12))
    job = start(run=run, stop=Stop(plateau=True))
    assert job.join(60) and job.status == "finished" and job.step == 8


def test_the_loss_at_each_time(start):
    """T − 1 = 7 bins: at each t the mean of the losses seen there, each step's weight 0.98 of the next one's, in nats."""
    job = start(stop=Stop(steps=75))
    while job.status == "running":
        job.loss_per_time()  # looking changes nothing
        time.sleep(0.005)
    assert job.join(60)
    model = build_model(TINY, GaussianDiffusion(make_schedule("log_snr", 8)))
    sums, counts = np.zeros(9), np.zeros(9)
    for step in train_steps(model, points(), replace(RUN.training, steps=75)):
        sums, counts = 0.98 * sums, 0.98 * counts
        np.add.at(sums, step.batch.t.numpy(), step.losses.numpy().astype(float))
        np.add.at(counts, step.batch.t.numpy(), 1.0)
    t, means = job.loss_per_time()
    assert t.tolist() == [2, 3, 4, 5, 6, 7, 8]
    np.testing.assert_allclose(means, sums[2:] / counts[2:], rtol=1e-9)
    long = start("long", run=replace(RUN, schedule=ScheduleConfig("log_snr", 101)), paused=True)
    t, means = long.loss_per_time()
    assert np.average(t, weights=[3, 2] * 20) == 51.5 and t[:2].tolist() == [3, 5.5] and np.isnan(means).all()


def images():
    """40 training and 20 held-out pictures of noise, 8 × 8."""
    pools = torch.randint(256, (60, 1, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return ImageDataset("digits", "Digits", (1, 8, 8), 128.0, 74.0, 256, train=pools[:40], held_out=pools[40:])


IMAGES = RunConfig(
    DataConfig("digits"),
    ScheduleConfig("log_snr", 50),
    NetworkConfig("unet", (("levels", 2), ("width", 8))),
    TrainConfig(batch=4, decay="none", precision="bfloat16"),
)


def test_images(start):
    """A U-Net on 8 × 8 pictures: paused, stopped, resumed and kept as a checkpoint whose K is the last snapshot's."""
    data = images()
    held_out, stop = data.sample_held_out(20), Stop(steps=9)
    job = start(run=IMAGES, data=data, held_out=held_out, snapshot_samples=3, sample_steps=30, stop=stop, paused=True)
    for _ in range(4):
        job.step_once()
    job.stop()
    assert job.join(60)
    first = job.snapshots[0]
    assert first.frames.shape == (11, 3, 1, 8, 8) and first.frames.dtype == np.float32 and first.packed.dtype == np.float16
    assert first.times[0] == 50 and first.times[-1] == 0
    job = jobs.resume_run(job.folder, data, data.sample_held_out(20))
    assert job.join(60) and job.step == 9 and job.status == "finished"
    whole = start("whole", run=IMAGES, data=data, held_out=data.sample_held_out(20), stop=Stop(steps=9))
    assert whole.join(60) and torch.equal(flat(whole.weights()), flat(job.weights()))
    loaded = checkpoints.load(job.save("pictures", job.folder))
    assert torch.equal(flat(loaded.model), flat(job.weights())) and loaded.meta["steps"] == 9 and loaded.config == IMAGES
    assert loaded.meta["bound_bits"] == pytest.approx(job.latest().bound_bits, abs=1e-4) and loaded.meta["seconds"] >= 0


def test_a_run_in_the_plane_is_kept_while_it_trains(start, tmp_path):
    """A data set by name: 8,000 points drawn as the command line draws them. The checkpoint can begin another run."""
    data = make_dataset("moons")
    run = replace(RUN, training=replace(RUN.training, seed=3))
    job = start(run=run, data=data, held_out=data.sample(50, torch.Generator().manual_seed(1)))
    until(lambda: job.step > 20)
    loaded = checkpoints.load(job.save("moons_kept", tmp_path))
    job.pause()
    wanted = averages(job.step, run, data.sample(8000, torch.Generator().manual_seed(3)))
    assert torch.equal(flat(loaded.model), wanted[loaded.meta["steps"]]) and torch.equal(flat(job.weights()), wanted[-1])
    assert loaded.dataset.name == "moons" and loaded.meta["parameters"] == len(wanted[0])
    for source in (loaded, tmp_path / "moons_kept.safetensors"):
        again = start("again", run=run, data=data, resume_from=source, paused=True)
        assert torch.equal(flat(again.weights()), flat(loaded.model)) and again.step == 0
        again.stop()
    job.stop()
    assert job.join(60)
    assert torch.equal(flat(start("third", run=run, data=data, resume_from=job.folder, paused=True).weights()), wanted[-1])
    with pytest.raises(JobError, match="different network"):
        other = replace(run, network=NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 8))))
        start("other", run=other, data=data, resume_from=loaded)
    with pytest.raises(JobError, match="no file"):
        start("other", run=run, data=data, resume_from=tmp_path / "nothing.safetensors")
    with pytest.raises(checkpoints.CheckpointError):
        job.save("../x", tmp_path)


UNUSUAL = replace(
    IMAGE_RUN, network=NetworkConfig("unet"), schedule=ScheduleConfig("log_snr", 9), training=TrainConfig(precision="bfloat16", clip=2.0)
)


@pytest.mark.parametrize(
    "run, usual",
    [
        (RUN, RunConfig()),
        (replace(RUN, network=replace(TINY, variance="capped")), RunConfig()),
        (replace(RunConfig(), data=DataConfig("swiss_roll", 0.05)), RunConfig()),
        (IMAGE_RUN, IMAGE_RUN),
        (UNUSUAL, usual_run(make_images("digits"), DataConfig("digits"))),
    ],
)
def test_the_command_says_the_same_run(run, usual):
    """Read back by the command line's own parser, it gives the same schedule, network and training, whatever is usual there."""
    import shlex

    words = shlex.split(command_line(JobConfig("kept", run), "kept", run.training.steps))
    assert words[:3] == ["python", "-m", "dpm_core"]
    args = make_parser().parse_args(words[3:])
    network = replace(run.network, params=with_defaults(NETWORKS[run.network.name], run.network.params))
    schedule = replace(run.schedule, params=with_defaults(SCHEDULES[run.schedule.name], run.schedule.params))
    assert train._run_config(args, replace(usual, data=run.data)) == replace(run, network=network, schedule=schedule)
    given = {"--warmup", "--decay", "--precision", "--ema", "--clip", "--lr", "--loss", "--seed", "--batch"}
    assert given <= set(words) and args.resume is None
    assert (args.data, args.noise, args.name) == (run.data.name, run.data.noise, "kept")


def test_explicit_parameters_are_those_that_are_built():
    """Defaults named one by one give the same U-Net and the same noise as defaults left out."""
    schedules = [make_schedule("log_snr", 9, **dict(params)) for params in ((), with_defaults(SCHEDULES["log_snr"], ()))]
    assert torch.equal(schedules[0].alpha_bar(torch.arange(10)), schedules[1].alpha_bar(torch.arange(10)))
    diffusion = GaussianDiffusion(schedules[0])
    params = with_defaults(NETWORKS["unet"], ())
    assert params and torch.equal(*(flat(build_model(NetworkConfig("unet", p), diffusion, (1, 8, 8))) for p in ((), params)))


def test_a_checkpoint_begun_with_is_named(start, tmp_path):
    """In job.json, after a restart, and in the next checkpoint's command; a run that was begun with is in job.json alone."""
    first = start(stop=Stop(steps=2), run=replace(RUN, data=DataConfig("moons")))
    assert first.join(60)
    path = first.save("before", tmp_path)
    job = start("after", stop=Stop(steps=1), run=first.config.run, resume_from=path)
    assert job.join(60)
    again = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=2))
    assert again.join(60)
    for each in (job, again):
        assert checkpoints.load(each.save("kept", tmp_path)).meta["command"].endswith(" --resume before --name kept")
    third = start("third", stop=Stop(steps=1), run=first.config.run, resume_from=job.folder)
    assert third.join(60) and disk.RunFolder(third.folder).read_header()[1]["resume_from"] == {"run": "after"}
    assert "--resume" not in checkpoints.load(third.save("kept", tmp_path)).meta["command"]


def test_a_restart_keeps_when_it_was_begun_and_makes_no_trainer_it_does_not_need(start, monkeypatch):
    def refuse(*_):
        raise AssertionError

    monkeypatch.setattr(dpm_core.jobs.thread.worker, "Trainer", refuse)
    job = start(stop=Stop(steps=1))
    assert job.join(60) and job.status == "finished"
    folder = disk.RunFolder(job.folder)
    header = folder.read_header()[1]
    folder.write_header(header | {"created": "2020-01-01T00:00:00+00:00"})
    job = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=2))
    assert job.join(60) and job.status == "finished"
    assert folder.read_header()[1]["created"] == "2020-01-01T00:00:00+00:00"


class Slow:
    """The disk, which takes as long as it is told for the state of one step."""

    def __init__(self, monkeypatch, step):
        self.writing, self.go, write = threading.Event(), threading.Event(), disk.RunFolder.write_state

        def slow(folder, state):
            if int(state["step"]) == step:
                self.writing.set()
                assert self.go.wait(20)
            write(folder, state)

        monkeypatch.setattr(disk.RunFolder, "write_state", slow)


def test_nothing_that_is_ordered_at_the_end_changes_it(start, monkeypatch):
    """While the last state is written, a pause, a resume and the program's end: no place is taken for ever, no message left."""
    monkeypatch.setitem(dpm_core.jobs.thread.job_queue.CAPACITY, "cpu", 1)
    slow = Slow(monkeypatch, 3)
    job = start(stop=Stop(steps=3))
    assert slow.writing.wait(20)
    job.pause()
    job.leave(0)
    job.resume()
    slow.go.set()
    assert job.join(60) and job.status == "finished" and job.message == ""
    (info,) = jobs.runs(job.folder.parent)
    assert (info.status, info.message) == ("finished", "")
    other = start("other")
    until(lambda: other.step, 5)


def test_a_program_that_closes_waits_for_what_is_ending(start, monkeypatch):
    """A job told to stop is waited for; one that does not let go of its turn no longer than the time there is."""
    slow = Slow(monkeypatch, 1)
    job = start(paused=True)
    slow.go.set()
    job.step_once()
    until(lambda: job._worker.saved())
    slow.go.clear()
    job.set_learning_rate(0.02)
    job.stop()
    assert slow.writing.wait(20)
    timer = threading.Timer(0.3, slow.go.set)
    timer.start()
    jobs._leave_all()
    assert job.done and job.status == "stopped"
    stuck = start("stuck")
    until(lambda: stuck.step)
    with stuck._worker.lock:
        thread = threading.Thread(target=stuck.leave, args=(0.1,), daemon=True)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()


def test_what_is_over_holds_little_memory(start, tmp_path, monkeypatch):
    """Data, model and optimiser are let go; everything that can be asked of a run that is over still answers as before."""
    data, run = points(), replace(RUN, data=DataConfig("moons"))
    job = start(data=data, run=run, paused=True)
    held = [weakref.ref(part) for part in (data, job._worker.trainer.model, job._worker.trainer, job._worker.trainer._optimiser)]
    del data
    for _ in range(5):
        job.step_once()
    before, per_time, rate = flat(job.weights()), job.loss_per_time()[1], job.learning_rate
    job.stop()
    assert job.join(60)
    gc.collect()
    assert [ref() for ref in held] == [None] * 4
    assert torch.equal(flat(job.weights()), before) and job.step == 5 and job.learning_rate == rate and job.progress.step == 5
    np.testing.assert_array_equal(job.loss_per_time()[1], per_time)
    assert job.metrics() and job.last_step.step == 5
    torch.testing.assert_close(flat(job.weights(job.latest())), before, rtol=1e-3, atol=1e-4)
    job._record.snapshots = []  # as when none was taken at the end: K is measured now
    loaded = checkpoints.load(job.save("kept", tmp_path))
    assert torch.equal(flat(loaded.model), before) and loaded.meta["steps"] == 5
    for k in range(jobs.MAX_ENDED_JOBS + 3):
        assert start(f"short{k}", stop=Stop(steps=1)).join(60)
    over = [each for each in jobs._jobs.values() if each.done]
    assert len(over) <= jobs.MAX_ENDED_JOBS + 1 and jobs.get(job.id) is None


def test_a_model_too_large_to_be_kept_is_refused_before_training(start, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints.format, "MAX_BYTES", checkpoints.format.MAX_HEADER_BYTES + 100)
    with pytest.raises(JobError, match="more than the"):
        start()
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_compiled_trains_uncompiled(start, monkeypatch):
    def compile(self, mode):
        self._compiled_call_impl = lambda *inputs: 1 / 0

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    job = start(stop=Stop(steps=5), compile=True)
    assert job.join(60) and job.status == "finished" and "could not be compiled" in job.message
    assert torch.equal(flat(job.weights()), averages(5)[-1])


def test_samples_that_do_not_fit_the_memory_are_done_without(start, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError

    job = start(stop=Stop(steps=5), paused=True)
    monkeypatch.setattr(job._worker.context.evaluator, "take_snapshot", full)
    job.resume()
    assert job.join(60) and job.status == "finished" and job.step == 5 and "Not enough memory" in job.message and job.snapshots == []


@pytest.mark.parametrize(
    "change, words",
    [
        ({"run": replace(RUN, training=replace(RUN.training, batch=65))}, "A batch of 65 is larger than the data set of 64"),
        ({"run": replace(RUN, network=NetworkConfig("nothing"))}, "Unknown network"),
        ({"run": replace(RUN, network=NetworkConfig("unet"))}, "U-Net is for images"),
        ({"run": replace(RUN, schedule=ScheduleConfig("nothing"))}, "nothing"),
        ({"run": replace(RUN, schedule=ScheduleConfig("paper", 1))}, "T must lie between"),
        ({"run": replace(RUN, schedule=ScheduleConfig("paper", 10**6))}, "T must lie between"),
        ({"held_out": points(1)}, "held-out"),
        ({"held_out": torch.full((5, 2), torch.inf)}, "held-out"),
        ({"held_out": torch.zeros(5, 3)}, r"shape \(2,\) and the held-out data \(3,\)"),
        ({"data": torch.zeros(0, 2)}, "training data"),
        ({"device": "mps" if torch.cuda.is_available() else "cuda"}, "no (mps|cuda) device"),
        ({"root": Path("/proc/none")}, "No such file or directory: /proc/none"),
    ],
)
def test_what_cannot_be_started_is_said_in_one_sentence(start, change, words):
    with pytest.raises(JobError, match=words) as caught:
        start(**change)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert jobs.jobs() == []


def test_configs_are_checked_and_go_through_json():
    config = JobConfig("a-b_1", IMAGES, Stop(steps=5, seconds=2.0, plateau=True), "cuda", True, 9, 30, 2)
    assert from_dict(JobConfig, to_dict(config)) == config and from_dict(JobConfig, to_dict(JobConfig("x"))) == JobConfig("x")
    wrong = [{"name": "a/b"}, {"name": ""}, {"device": "tpu"}, {"snapshot_samples": 0}, {"sample_steps": 0}, {"threads": 0}]
    for change in wrong:
        with pytest.raises(ValueError, match=r"\.$"):
            replace(config, **change)
    for change in ({"steps": 0}, {"seconds": 0.0}, {"seconds": float("nan")}):
        with pytest.raises(ValueError, match=r"\.$"):
            Stop(**change)


def test_two_jobs_of_one_name(start, tmp_path):
    """Refused while the first is alive; after its end the first is kept aside, once."""
    first = start("same")
    until(lambda: first.step)
    with pytest.raises(JobError, match="'same' is still training"):
        start("same")
    with pytest.raises(JobError, match="'same' is still training"):
        jobs.resume_run(first.folder, points(), points(20, 1))
    first.pause()
    with pytest.raises(JobError, match="'same' is still training"):
        start("same")
    start("same", root=tmp_path / "elsewhere").stop()
    first.stop()
    second = start("same", stop=Stop(steps=3))
    assert second.join(60) and disk.RunFolder(tmp_path / ".same.old").state_step() == first.step
    third = start("same", stop=Stop(steps=2))
    assert third.join(60) and disk.RunFolder(tmp_path / ".same.old").state_step() == 3
    assert [(info.name, info.step, info.status) for info in jobs.runs(tmp_path)] == [("same", 2, "finished")]


CHILD = """
import json, sys, time
from pathlib import Path
import torch
import dpm_core.jobs.thread.worker, dpm_core.jobs.thread.record as record
from dpm_core import jobs
from dpm_core.config import from_dict

def points(n, seed):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))

dpm_core.jobs.thread.worker.STATE_EVERY = 0.05
record.SNAPSHOT_EVERY = (0.1, 0.1)
record.ROW_STEPS = 1
config = from_dict(jobs.JobConfig, json.loads(sys.argv[2]))
job = jobs.start(config, points(64, 0), points(20, 1), Path(sys.argv[1]))
time.sleep(1000)
"""
KILLED = to_json(JobConfig("killed", RUN))


def test_a_run_survives_kill_9(tmp_path):
    """A process is killed in the middle of training. Its run goes on from the last state: at the end bit for bit the weights
    of a run that nobody killed, every step's row once, snapshots in order."""
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), KILLED], cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        folder = disk.RunFolder(tmp_path / "killed")
        until(lambda: folder.state_step() > 100 and len(list(folder.snapshots.glob("*"))) > 2, 120)
        assert [info.status for info in jobs.runs(tmp_path)] == ["running"]
        with pytest.raises(JobError, match="still training"):
            jobs.resume_run(folder.path, points(), points(20, 1))
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    (info,) = jobs.runs(tmp_path)
    assert info.status == "interrupted" and info.step > 100
    with open(folder.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 99999, "loss": 1.0}\n{"step": 3, "lo')  # a row after the state, and one cut short
    job = jobs.resume_run(folder.path, points(), points(20, 1), paused=True)
    assert job.step == info.step and job.progress.threads == 1
    rows, snapshots = job.metrics(), job.snapshots
    assert rows and rows[-1]["step"] <= info.step and len(snapshots) > 1 and snapshots[-1].step <= info.step
    job = _again(job, Stop(steps=info.step + 50))
    assert job.join(60) and job.status == "finished"
    assert torch.equal(flat(job.weights()), averages(info.step + 50)[-1])
    steps = [row["step"] for row in job.metrics() if "loss" in row]
    assert steps == sorted(set(steps)) and steps[-1] == info.step + 50
    seconds = [row["seconds"] for row in job.metrics()]
    assert seconds == sorted(seconds)
    kept = [s.step for s in job.snapshots]
    assert kept == sorted(set(kept)) and kept[0] == 0 and kept[-1] == info.step + 50


def _again(job, stop):
    job.stop()
    assert job.join(60)
    return jobs.resume_run(job.folder, points(), points(20, 1), stop=stop)


def test_a_program_that_closes_writes_its_runs_as_paused(tmp_path):
    """In good order nothing is lost: the state on disk is that of the last step."""
    code = CHILD.replace(
        "time.sleep(1000)", "time.sleep(0.2); job.pause(); job.resume()\nimport atexit; atexit.register(lambda: print(job.step))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), KILLED], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    (info,) = jobs.runs(tmp_path)
    assert info.status == "paused" and "closed" in info.message and info.step == disk.RunFolder(info.folder).state_step()
    assert done.stderr == ""


def test_a_kept_model_says_where_its_command_leads_elsewhere(start, tmp_path):
    """Kept in mid-run after a change of rate: a sentence with both; kept at the end of an undisturbed run: none."""
    cosine = replace(RUN, training=replace(RUN.training, decay="cosine", steps=900))
    job = start(run=cosine, paused=True)
    job.step_once()
    job.set_learning_rate(0.5)
    job.step_once()
    note = checkpoints.load(job.save("early", tmp_path)).meta["note"]
    assert "changed by hand (" in note and "→ 0.5)" in note and "saved at step 2 of 900" in note
    whole = start("whole", run=replace(cosine, training=replace(cosine.training, steps=3)))
    until(lambda: whole.done)
    assert "note" not in checkpoints.load(whole.save("late", tmp_path)).meta
