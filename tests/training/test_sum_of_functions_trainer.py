"""Training by SFO: it lowers the loss, continues exactly, and is refused in a sentence where it does not fit."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from dpm_core.config import SFO_LEAD, ConfigError, DiffusionConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.guidance import make_model
from dpm_core.process import make_diffusion
from dpm_core.training import SumOfFunctionsTrainer, Trainer, make_trainer
from dpm_core.training import optimisers as module
from dpm_core.training import sum_of_functions_trainer as sfo_module
from dpm_core.training.cost import estimate
from dpm_core.training.losses import LOSSES

RUN = RunConfig(
    schedule=ScheduleConfig("log_snr", 10),
    network=NetworkConfig("rbf", (("units", 4),)),
    training=TrainConfig(batch=64, optimiser="sfo", steps=1000, decay="none"),
)


@pytest.fixture
def short_lead(monkeypatch):
    monkeypatch.setattr(sfo_module, "SFO_LEAD", 5)


def ring(n=1000):
    angle = torch.rand(n, generator=torch.Generator().manual_seed(0)) * 6.283
    return torch.stack([angle.cos(), angle.sin()], 1) * 1.4


def new(run=RUN, data=None):
    model = make_model(run.network, make_diffusion(run), (2,), seed=run.training.seed)
    return make_trainer(model, ring() if data is None else data, run.training)


def sample_loss(trainer):
    """The mean loss over all fixed minibatches."""
    with torch.no_grad():
        batches = [trainer._minibatch(i, 64) for i in range(32)]
        return sum(float(LOSSES["bound"](trainer.model, *batch.inputs).mean()) for batch in batches) / 32


def test_the_name_of_the_optimiser_chooses_the_trainer():
    assert type(new()) is SumOfFunctionsTrainer and type(new(replace(RUN, training=TrainConfig()))) is Trainer
    assert set(module.TRAINERS) == {"adam", "sfo"}


def test_it_lowers_the_loss_of_its_fixed_sample(monkeypatch):
    """After 300 steps it is below where Adam's steps ended; each step reports one of the minibatches, its loss and its data."""
    monkeypatch.setattr(sfo_module, "SFO_LEAD", 150)
    trainer = new()
    for _ in range(151):
        step = trainer.step()
    before = sample_loss(trainer)
    for _ in range(300):
        step = trainer.step()
    assert sample_loss(trainer) < before - 0.02
    i = next(i for i, batch in trainer._batches.items() if batch is step.batch)
    assert torch.equal(trainer._minibatch(i, 64).noise, step.batch.noise), "drawn once and for all"
    assert step.losses.shape == (64,) and step.loss == pytest.approx(float(step.losses.mean()), rel=1e-5) and step.step == 451
    assert i < 32 and step.gradient_norm > 0 and len(trainer._batches) == 32


def test_its_start_is_adams():
    """The first steps are those of the same run by Adam, bit for bit, although the fixed minibatches are drawn as well."""
    ours, adam = new(), new(replace(RUN, training=replace(RUN.training, optimiser="adam")))
    for _ in range(4):
        assert ours.step().loss == adam.step().loss
    assert all(torch.equal(a, b) for a, b in zip(ours.model.parameters(), adam.model.parameters()))
    assert SFO_LEAD == 500 and not any(name.startswith("sfo.") for name in ours.state())


@pytest.mark.parametrize("at", [3, 5, 6, 40, 150])
def test_interrupted_equals_uninterrupted_bit_for_bit(short_lead, at):
    """Stored during Adam's steps, at the change, and in SFO's; the stored tensors go through safetensors."""
    from safetensors.torch import load, save

    whole, first = new(), new()
    for _ in range(at):
        whole.step()
        first.step()
    state, again = load(save(first.state())), new()
    again.restore(state)
    for _ in range(30):
        a, b = whole.step(), again.step()
        assert (a.loss, a.gradient_norm, a.step) == (b.loss, b.gradient_norm, b.step)
    for one, two in ((whole.model, again.model), (whole.average, again.average)):
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    assert whole.state().keys() == again.state().keys()


def test_the_average_follows(short_lead):
    """With no memory the moving average is the model itself; with some it lags behind."""
    now, lagging = new(replace(RUN, training=replace(RUN.training, ema=0.0))), new()
    for _ in range(20):
        now.step()
        lagging.step()
    assert all(torch.equal(a, b) for a, b in zip(now.model.parameters(), now.average.parameters()))
    assert not all(torch.equal(a, b) for a, b in zip(lagging.model.parameters(), lagging.average.parameters()))


def test_a_state_of_another_run_changes_nothing(short_lead):
    other = new(replace(RUN, network=NetworkConfig("rbf", (("units", 5),))))
    for _ in range(8):
        other.step()
    trainer = new()
    before = {k: v.clone() for k, v in trainer.state().items()}
    with pytest.raises(ValueError, match="does not match this configuration"):
        trainer.restore(other.state())
    assert all(torch.equal(v, before[k]) for k, v in trainer.state().items())


def test_rows_of_bits_train_too(short_lead):
    run = replace(
        RUN, network=NetworkConfig("bit_mlp", (("width", 8),)), diffusion=DiffusionConfig("binomial"), schedule=ScheduleConfig("paper", 10)
    )  # fmt: skip
    bits = (torch.rand(200, 12, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    trainer = make_trainer(make_model(run.network, make_diffusion(run), (12,), seed=0), bits, run.training)
    for _ in range(12):
        step = trainer.step()
    assert step.step == 12 and step.loss == step.loss


def test_refused_in_one_sentence():
    with pytest.raises(ConfigError, match=r"at most 50,000 parameters, not of [0-9,]+; choose Adam or a smaller network"):
        new(replace(RUN, network=NetworkConfig("mlp", (("width", 128),))))
    image_run = replace(RUN, network=NetworkConfig("unet", (("width", 8), ("levels", 1), ("blocks", 1))))
    model = make_model(image_run.network, make_diffusion(image_run), (1, 8, 8), seed=0)
    with pytest.raises(ConfigError, match="not for images"):
        make_trainer(model, torch.zeros(10, 1, 8, 8), image_run.training)


def test_a_start_that_is_not_finite_is_reported(short_lead):
    trainer = new(replace(RUN, training=replace(RUN.training, learning_rate=1e30)))
    from dpm_core.training import TrainingError

    with pytest.raises(TrainingError, match="not finite"):
        for _ in range(8):
            trainer.step()


def test_its_cost_includes_the_optimiser():
    adam, sfo = (estimate(RUN.network, (2,), replace(RUN.training, optimiser=name), 10) for name in ("adam", "sfo"))
    assert adam.parameters == sfo.parameters and sfo.memory_bytes > adam.memory_bytes + 8 * 99 * sfo.parameters


def test_a_job_that_is_stopped_and_resumed_ends_like_one_that_is_not(short_lead, tmp_path):
    """Paused, stopped in SFO's steps, resumed from its folder: the same weights, bit for bit; the cards' loss and metrics are there."""
    from dpm_core import jobs
    from dpm_core.jobs import JobConfig, Stop
    from dpm_core.jobs.order import Order
    from dpm_core.jobs.thread.engine import ThreadEngine

    engine, data = ThreadEngine(), ring(300)
    config = JobConfig("by_sfo", RUN, Stop(steps=40), threads=1, snapshot_samples=4, sample_steps=2)

    def order(name):
        return Order(tmp_path / name, data, data[:50])

    whole = engine.start(config, order("whole"), None)
    assert whole.join(60) and whole.status == "finished"
    parts = engine.start(config, Order(tmp_path / "parts", data, data[:50], paused=True), None)
    for _ in range(9):
        parts.step_once()
    assert parts.step == 9 and parts.last_step.step == 9
    parts.stop()
    assert parts.join(60)
    again = engine.resume(order("parts"), None)
    assert again.join(60) and again.step == 40 and jobs is not None
    assert all(torch.equal(a, b) for a, b in zip(whole.weights().parameters(), again.weights().parameters()))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path))
    return tmp_path


def test_on_the_command_line(short_lead, folder, capsys):
    """The description names the optimiser, and the recorded command makes the same weights; images and large networks are refused."""
    import json
    import shlex

    from safetensors.torch import load_file

    from dpm_core.cli.main import main

    small = ["--network", "rbf", "--network-param", "units=4", "-T", "5", "--steps", "12", "--points", "100", "--batch", "32"]
    assert main(["train", "--data", "moons", *small, "--optimiser", "sfo", "--name", "by_sfo"]) == 0
    header = json.loads((folder / "by_sfo.json").read_text())
    assert header["config"]["training"]["optimiser"] == "sfo" and "--optimiser sfo" in header["command"] and header["steps"] == 12
    assert main([*shlex.split(header["command"])[3:], "--out", str(folder / "again")]) == 0
    one, two = (load_file(place / "by_sfo.safetensors") for place in (folder, folder / "again"))
    assert all(torch.equal(one[k], two[k]) for k in one)
    capsys.readouterr()
    for words, sentence in (
        (["--data", "digits", "--network-param", "width=8"], "at most 50,000 parameters|not for images"),
        (["--data", "moons", "--network-param", "width=256"], "at most 50,000 parameters"),
        (["--data", "moons", "--precision", "bfloat16"], "SFO is for the losses"),
    ):
        assert main(["train", *words, "--optimiser", "sfo", "--name", "bad"]) == 2
        assert re.search(sentence, capsys.readouterr().err)
