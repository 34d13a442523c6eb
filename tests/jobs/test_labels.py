"""Runs with labels: class-conditional models and classifiers, trained, saved and resumed as any other, in a process of their own too."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data.images import make_images
from dpm_core.data.toy2d import DATASETS
from dpm_core.jobs import JobConfig, JobError, Stop
from tests.jobs.engines import ENGINES, RUN, points

MOONS = replace(RUN, network=NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 16)), classes=2))
READER = RunConfig(
    DataConfig("digits"), ScheduleConfig("cosine", 50), NetworkConfig("classifier", (("width", 8),), classes=10),
    TrainConfig(loss="label", steps=40, batch=32, learning_rate=4e-3),
)  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_a_class_conditional_run(tmp_path, engine):
    """Its snapshots draw one sample of each class in turn; its checkpoint is asked for a class; its command trains the same model."""
    data = DATASETS["moons"]
    config = JobConfig("by_class", MOONS, Stop(steps=30), threads=1, snapshot_samples=6)
    job = jobs.start(config, data, data.sample_held_out(64, torch.Generator().manual_seed(0)), tmp_path / "runs", engine=ENGINES[engine]())
    assert job.join(60) and job.step == 30
    loaded = checkpoints.load(job.save("by_class", tmp_path))
    assert loaded.model.classes == 2 and int(loaded.given(1).model.label) == 1
    assert "--labels --label-dropout 0.1" in loaded.meta["command"] and "classes=" not in loaded.meta["command"]
    last = job.latest()
    x_T = torch.from_numpy(last.frames[0])
    model = job.weights(last)
    by_class = model.given(torch.arange(6) % 2).x0_posterior(x_T, model.diffusion.T)[0]
    assert float((by_class - model.x0_posterior(x_T, model.diffusion.T)[0]).detach().abs().max()) > 0
    job.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_classifier_is_trained_by_the_same_jobs(tmp_path, engine):
    """The mean of log₂ p(y|x⁽ᵗ⁾) rises from that of equal probabilities; it is saved beside models, not among them."""
    digits = make_images("digits")
    config = JobConfig("reader", READER, Stop(steps=40), threads=1)
    job = jobs.start(config, digits, digits.sample_held_out(200), tmp_path / "runs", engine=ENGINES[engine]())
    assert job.join(120) and job.step == 40, job.message
    first, last = job.snapshots[0], job.snapshots[-1]
    assert first.bound_bits == pytest.approx(-math.log2(10), abs=0.2) and last.bound_bits > first.bound_bits + 0.15
    assert last.null_bits == pytest.approx(-math.log2(10)) and last.frames.shape[1:] == (16, 1, 8, 8)
    path = job.save("reader", tmp_path)
    assert path.parent.name == "classifiers"
    loaded = checkpoints.load_classifier(path)
    assert torch.equal(loaded.model.log_probs(digits.sample(3), 1), job.weights().log_probs(digits.sample(3), 1))
    header = json.loads(path.with_suffix(".json").read_text())
    assert header["label_log_prob_bits"] == round(last.bound_bits, 4) and "bound_bits" not in header
    assert "--network classifier" in header["command"] and "--loss label" in header["command"]
    job.close()
    again = jobs.resume_run(job.folder, digits, digits.sample_held_out(200), stop=Stop(steps=45), engine=ENGINES[engine]())
    assert again.join(60)
    again.close()


def test_labels_that_do_not_fit(tmp_path):
    held_out = points(20, 1)
    with pytest.raises(JobError, match="needs data with labels"):
        jobs.start(JobConfig("a", MOONS), points(), held_out, tmp_path)
    three = replace(MOONS, network=replace(MOONS.network, classes=3))
    with pytest.raises(JobError, match="for 3 classes, but Two moons has 2"):
        jobs.start(JobConfig("b", three), DATASETS["moons"], held_out, tmp_path)
    assert not list(tmp_path.iterdir())
