"""Costs against counts by hand."""

from __future__ import annotations

import pytest
import torch

import dpm_core.training.cost
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from dpm_core.training.cost import estimate

SMALL = NetworkConfig("multiscale", (("dense", 8), ("layers", 1), ("width", 4)))


class Clock:
    """A clock that only steps move, and a step that costs ``fixed + each · n`` seconds of it."""

    def __init__(self, monkeypatch, fixed, each):
        self.now, self.fixed, self.each, self.batches = 0.0, fixed, each, []
        for name in ("perf_counter", "thread_time"):
            monkeypatch.setattr(dpm_core.training.cost, name, lambda: self.now)

    def step(self, n):
        self.batches.append(n)
        self.now += self.fixed + self.each * n


@pytest.fixture(autouse=True)
def little_time(monkeypatch):
    monkeypatch.setattr(dpm_core.training.cost, "TIME_BUDGET", 0.02)


@pytest.mark.parametrize(("fixed", "each"), [(0.004, 1e-5), (0.0, 0.002), (0.003, 0.0005), (0.001, 0.0)])
def test_seconds_follow_the_line_through_the_largest_batches(fixed, each, monkeypatch):
    """Steps of fixed + each·n seconds: exactly that at the full batch, without spending much more than the budget."""
    monkeypatch.setattr(dpm_core.training.cost, "TIME_BUDGET", 0.1)
    clock = Clock(monkeypatch, fixed, each)
    assert dpm_core.training.cost._seconds(clock.step, 1000) == pytest.approx(fixed + 1000 * each, rel=1e-9)
    assert clock.now < 0.1 + fixed + 4 * each + 1e-9  # the warm-up is on top
    assert clock.batches[:2] == [4, 4]
    assert max(clock.batches) <= 1000


def test_a_small_batch_is_measured_itself(monkeypatch):
    """No step is ever larger than the batch asked for, and where that one fits the budget its own time is the answer."""
    clock = Clock(monkeypatch, 0.0, 1e-4)
    assert dpm_core.training.cost._seconds(clock.step, 3) == pytest.approx(3e-4)
    assert set(clock.batches) == {3}


def test_a_noisy_reading_does_not_tilt_the_line(monkeypatch):
    """Where the larger batch happened to take less time, seconds are in proportion to it: neither negative nor falling."""
    monkeypatch.setattr(dpm_core.training.cost, "TIME_BUDGET", 0.047)
    clock = Clock(monkeypatch, 0.0, 0.0)

    def step(n):
        clock.now += {4: 0.004, 8: 0.006, 16: 0.005}[n]

    assert dpm_core.training.cost._seconds(step, 800) == pytest.approx(0.005 * 800 / 16)


@pytest.mark.parametrize(
    ("config", "shape"),
    [(NetworkConfig("mlp"), (2,)), (NetworkConfig("rbf"), (2,)), (SMALL, (3, 9, 7)), (NetworkConfig("unet", (("width", 8),)), (1, 8, 8))],
)
def test_parameters_are_those_of_the_model(config, shape):
    """The sum over the tensors of the model that training would build."""
    model = build_model(config, GaussianDiffusion(make_schedule("log_snr", 12)), shape, seed=5)
    cost = estimate(config, shape, TrainConfig(batch=4), 12)
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert cost.seconds_per_step > 0


@pytest.mark.parametrize(("width", "batch"), [(512, 8), (64, 4096), (128, 512)])
def test_memory_of_an_mlp_is_the_count_by_hand(width, batch):
    """5 numbers per parameter and, per datum, what each layer's derivative needs; within a quarter, 4 bytes a number.

    Per datum: angles, inputs and conditions with their activations (f + 2+2f + 33 + 2·64), per block its input and
    what silu saw, the readout's input. The rest (times, losses) is the quarter.
    """
    depth, features = 3, 16
    dims, condition = 2 + 2 * features, 33 * 64 + 64 + 64 * depth * width + depth * width
    parameters = dims * width + width + condition + depth * width**2 + 4 * width + 4
    kept = features + dims + 33 + 2 * 64 + (2 * depth + 1) * width
    cost = estimate(NetworkConfig("mlp", (("width", width),)), (2,), TrainConfig(batch=batch), 10**6)
    assert cost.parameters == parameters
    assert cost.memory_bytes == pytest.approx(4 * (5 * parameters + batch * kept), rel=0.25)


def test_memory_grows_in_proportion_to_the_batch_beyond_the_weights():
    """Equal steps of the batch, equal steps of memory; at batch 0 the line meets the five copies of the weights, within 5 %."""
    low, middle, high = (estimate(SMALL, (1, 8, 8), TrainConfig(batch=n), 10) for n in (64, 128, 192))
    assert high.memory_bytes - middle.memory_bytes == pytest.approx(middle.memory_bytes - low.memory_bytes, rel=1e-3)
    assert middle.memory_bytes > 1.5 * low.memory_bytes
    assert 2 * low.memory_bytes - middle.memory_bytes == pytest.approx(20 * low.parameters, rel=0.05)


def test_half_precision_keeps_less():
    """bfloat16 halves what the convolutions keep, not the weights."""
    full, half = (
        estimate(NetworkConfig("unet", (("width", 16),)), (1, 16, 16), TrainConfig(batch=256, precision=p), 10).memory_bytes
        for p in ("float32", "bfloat16")
    )
    assert 0.4 * full < half < 0.8 * full


def test_nothing_is_left_behind(monkeypatch):
    """The global generator and the number of threads are as before, also when measuring failed."""
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    estimate(SMALL, (1, 8, 8), TrainConfig(batch=4), 10, threads=threads + 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads

    seen = []

    def broken(step, batch):
        seen.append(torch.get_num_threads())
        raise MemoryError

    monkeypatch.setattr(dpm_core.training.cost, "_seconds", broken)
    with pytest.raises(MemoryError):
        estimate(SMALL, (1, 8, 8), TrainConfig(batch=4), 10, threads=threads + 1)
    assert seen == [threads + 1]
    assert torch.get_num_threads() == threads


def test_steps_are_real_ones_at_the_batch_that_is_tried(monkeypatch):
    """Optimiser steps of the run's own kind with 4 data, then 8, never more than the batch of the run."""
    taken, step = [], dpm_core.training.cost.Trainer.step

    def noted(trainer):
        out = step(trainer)
        taken.append((trainer.config.loss, len(out.losses)))
        return out

    monkeypatch.setattr(dpm_core.training.cost, "TIME_BUDGET", 60.0)
    monkeypatch.setattr(dpm_core.training.cost.Trainer, "step", noted)
    estimate(SMALL, (1, 8, 8), TrainConfig(batch=11, loss="simple"), 10)
    assert taken == [("simple", n) for n in (4, 4, 4, 8, 8, 11, 11)]


def test_what_cannot_be_built_has_no_cost():
    """The network's own sentence."""
    with pytest.raises(ValueError, match="for images"):
        estimate(SMALL, (2,), TrainConfig(), 10)
