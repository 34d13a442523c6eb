"""The same run in every engine: as a thread of this process, as a process of its own, and in a cluster."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.config import IMAGE_RUN, DataConfig, NetworkConfig
from dpm_core.data.images import from_pools
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.data.toy2d import make_dataset
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.remote.messages import pack, unpack
from tests.jobs.engines import ENGINES, RUN, flat, points

pytestmark = pytest.mark.xdist_group("cluster")
UNET = NetworkConfig("unet", (("levels", 1), ("width", 8)))


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
    assert job.join(60) and job.done and job.ending and job.status == "finished" and job.step == 40 and not job.message
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


def test_the_engines_give_the_same_weights(tmp_path, cluster):
    """30 steps in a thread, in a process and in a cluster, each interrupted at 11: every weight equal."""
    found = []
    for name, engine in (ENGINES | {"cluster": lambda: cluster.engine}).items():
        job = jobs.start(JobConfig(name, RUN, Stop(steps=11), threads=1), points(), points(20, 1), tmp_path, engine=engine())
        assert job.join(60)
        job.close()
        job = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=30), engine=engine())
        assert job.join(60) and job.step == 30
        found.append((flat(job.weights()), [s.bound_bits for s in job.snapshots], [row["step"] for row in job.metrics()]))
        job.close()
    for weights, bounds, _ in found[1:]:
        assert torch.equal(weights, found[0][0]) and bounds[-1] == found[0][1][-1]


def test_data_by_name_of_ones_own_and_pictures(start, engine, tmp_path):
    """A set by its name, a person's own picture with its parts, and the weights of a checkpoint to start with."""
    moons = make_dataset("moons")
    job = start("named", stop=Stop(steps=3), data=moons, held_out=moons.sample(20, torch.Generator().manual_seed(1)))
    assert job.join(60) and job.status == "finished", job.message
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


def test_data_of_a_kind_that_only_the_program_knows(start, engine, monkeypatch):
    from tests.pages.line_kind.data import LineData, LineDataset

    monkeypatch.setitem(DATA_KINDS, "line", LineData())
    line = LineDataset()
    job = start(run=replace(RUN, data=DataConfig("two_bumps")), stop=Stop(steps=3), data=line, held_out=line.sample(20))
    assert job.join(60) and job.status == "finished", job.message


def test_what_cannot_start_is_said_in_one_sentence(start, engine):
    with pytest.raises(JobError, match="at least two finite data"):
        start(held_out=points(1))
    running = start()
    with pytest.raises(JobError, match="is still training"):
        start()
    running.stop()


def test_messages_keep_numbers_and_tensors():
    head = {"a": [1, None, 0.1], "b": float("inf")}
    tensors = {"x": torch.arange(6.0).view(2, 3).T, "none": torch.zeros(0, 2)}
    got, received = unpack(pack(head, tensors))
    assert got == head and all(torch.equal(received[k], v) for k, v in tensors.items())
