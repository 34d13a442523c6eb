"""The joint gradient of K against finite differences, monotone schedules, and the gain over a fixed schedule."""

from __future__ import annotations

import pytest
import torch

from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.measure.bound import evaluate_bound
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer
from dpm_core.training.joint_schedule import JointTrainer, MonotoneSchedule, joint_loss
from dpm_core.training.learned_schedule import LearnedSchedule
from dpm_core.training.losses import stratified_times
from dpm_core.training.schedule_comparison import WAYS, bits_of_each, compare_ways, paired_gain

T = 8
NETWORK = NetworkConfig("mlp", (("width", 32),))


def roll():
    return sources.make("swiss_roll", None, ())[0]


def forms():
    start = make_schedule("log_snr", T)
    return {"steps": LearnedSchedule(start), "network": MonotoneSchedule(start, units=8)}


@pytest.mark.parametrize("form", ["steps", "network"])
def test_every_parameter_gives_a_valid_schedule_that_starts_straight(form):
    """β in (0, 1), log-SNR falls, β₁ stays; at first both are the straight line in log-SNR to 0.1 nats."""
    start, made = make_schedule("log_snr", T), forms()[form]
    t = torch.arange(1, T + 1)
    line = start.log_snr(t).clamp(min=-12.0)
    assert float((made.schedule().log_snr(t) - line).detach().abs().max()) < 0.1
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1), dtype=parameter.dtype)
    log_snr = made.schedule().log_snr(t).detach()
    assert bool((log_snr.diff() < 0).all()) and float(log_snr[0] - line[0]) == pytest.approx(0, abs=1e-6)
    assert float(made.schedule().betas.detach().min()) > 0 and float(made.schedule().betas.detach().max()) < 1


@pytest.mark.parametrize("form", ["steps", "network"])
def test_the_gradient_is_that_of_finite_differences(form):
    """Of the loss on a frozen batch with respect to every parameter of the schedule, to 1e-4 of the largest, in double precision."""
    made = forms()[form]
    model = build_model(NETWORK, GaussianDiffusion(make_schedule("log_snr", T)), seed=0).double()
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    x0, t = torch.randn(64, 2, dtype=torch.float64), stratified_times(T, 64)
    noise = torch.randn(64, 2, dtype=torch.float64)

    def loss():
        model.diffusion = GaussianDiffusion(made.schedule())
        return joint_loss(model, x0, t, noise).mean()

    loss().backward()
    for parameter in made.parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.flatten()
        for i in range(len(flat)):
            values = []
            for step in (1e-5, -2e-5):
                flat[i] += step
                with torch.no_grad():
                    values.append(float(loss()))
            flat[i] += 1e-5
            assert float(gradient[i]) == pytest.approx((values[0] - values[1]) / 2e-5, abs=1e-4 * float(gradient.abs().max()) + 1e-8)


def test_the_loss_is_minus_the_bound():
    """Summed over all times and with the constants it is K of the same noise, in nats per dimension, to 1e-4."""
    data = roll()
    model = build_model(NETWORK, GaussianDiffusion(make_schedule("log_snr", T)), seed=0)
    x0 = data.sample(2000, torch.Generator().manual_seed(1))
    bound = evaluate_bound(model, model.diffusion, x0, torch.Generator().manual_seed(3))
    generator, losses = torch.Generator().manual_seed(3), []
    for t in range(2, T + 1):
        noise = torch.randn(x0.shape, generator=generator)
        losses.append(joint_loss(model, x0, torch.full((len(x0),), t), noise).mean())
    prior = float(model.diffusion.prior_cost_nats(x0).mean())
    assert -2 * float(torch.stack(losses).detach().mean()) - prior == pytest.approx(bound.bound_nats, abs=2e-4 * abs(bound.bound_nats))
    each = bits_of_each(model, x0)
    assert float(each.mean()) == pytest.approx(bound.bound_bits, abs=1e-4)


def test_training_both_beats_training_the_network_alone():
    """300 steps of the same network on the same batches: K is higher by more than four standard errors, and the schedule has moved."""
    data = roll()
    x, held_out = data.sample(4000, torch.Generator().manual_seed(0)), data.sample_held_out(2000, torch.Generator().manual_seed(1))
    config, start = TrainConfig(steps=300, batch=256), make_schedule("log_snr", T)
    alone = Trainer(build_model(NETWORK, GaussianDiffusion(start), seed=0), x, config)
    both = JointTrainer(build_model(NETWORK, GaussianDiffusion(start), seed=0), forms()["steps"], x, config)
    for _ in range(300):
        alone.step()
        both.step()
    gain, error = paired_gain(bits_of_each(both.average, held_out), bits_of_each(alone.average, held_out))
    assert gain > 4 * error > 0 and gain > 0.2
    assert both.average.diffusion.schedule.betas.requires_grad is False
    assert float((both.average.diffusion.schedule.betas - start.betas).abs().max()) > 0.01


def test_the_gain_is_paired_and_has_its_standard_error():
    """By hand: differences 1, 2, 3, 6 have mean 3, and standard deviation √(14/3) over √4."""
    other = torch.tensor([10.0, -5.0, 0.0, 7.0], dtype=torch.float64)
    gain, error = paired_gain(other + torch.tensor([1.0, 2.0, 3.0, 6.0]), other)
    assert gain == pytest.approx(3) and error == pytest.approx((14 / 3) ** 0.5 / 2)


def test_another_loss_is_refused():
    with pytest.raises(ValueError, match="must be 'bound', not 'simple'"):
        JointTrainer(
            build_model(NETWORK, GaussianDiffusion(make_schedule("log_snr", T))), forms()["steps"], torch.zeros(9, 2), TrainConfig("simple")
        )


def test_the_comparison_goes_through_all_ways(monkeypatch):
    """Shares rise to 1 within each way; K of each held-out datum comes at its end; the same seed gives the same numbers."""
    monkeypatch.setattr("dpm_core.training.schedule_comparison.HELD_OUT", 200)
    monkeypatch.setattr("dpm_core.training.schedule_comparison.ASCENT_STEPS", 3)
    stages = list(compare_ways(roll(), 5, "network", NETWORK, 60, 0))
    assert list(dict.fromkeys(stage.way for stage in stages)) == list(WAYS)
    for way in WAYS:
        mine = [stage for stage in stages if stage.way == way]
        assert [round(60 * stage.share) for stage in mine] == [25, 50, 60]
        assert mine[-1].bits.shape == (200,) and all(stage.bits is None for stage in mine[:-1])
    again = list(compare_ways(roll(), 5, "network", NETWORK, 60, 0))
    assert torch.equal(stages[-1].bits, again[-1].bits)
