"""The trainer: what a pause keeps, what the learning rate does on the way, and what happens when memory runs out."""

from __future__ import annotations

import copy
import math
import weakref

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import dpm_core.training.losses
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data.images import make_images
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.schedules import make_schedule
from dpm_core.training import OutOfMemory, Trainer, TrainingError, train_steps
from dpm_core.training.losses import LOSSES

MLP = NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 8)))
UNET = NetworkConfig("unet", (("width", 8),))
DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 20))
PLANE = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def digits():
    return make_images("digits")


@pytest.fixture
def make(digits):
    """A trainer in the plane or on digits, the same every time it is asked for."""

    def build(kind="plane", network=None, **options):
        config = TrainConfig(**({"steps": 40, "batch": 16, "warmup": 3} | options))
        if kind == "plane":
            return Trainer(build_model(network or MLP, DIFFUSION), PLANE, config)
        return Trainer(build_model(network or UNET, DIFFUSION, digits.shape), digits.batches(), config)

    return build


class Line(nn.Module):
    """One weight, for losses that are made up."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))


def line(**options):
    return Trainer(ReverseModel(Line(), GaussianDiffusion(make_schedule("paper", 5))), torch.zeros(4, 2), TrainConfig(**options))


def run(trainer, steps):
    return [trainer.step() for _ in range(steps)][-1]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# --- states ---


@pytest.mark.parametrize("by_file", [False, True])
@pytest.mark.parametrize("kind, options", [("plane", {}), ("digits", {}), ("digits", {"loss": "simple", "precision": "bfloat16"})])
def test_a_restored_run_goes_on_bit_by_bit(make, tmp_path, kind, options, by_file):
    """Four steps, state, four more: the same losses, weights, average, moments and generators as without the pause."""
    trainer, other = make(kind, **options), make(kind, **options)
    run(trainer, 4)
    trainer.learning_rate *= 0.7
    state = trainer.state()
    if by_file:
        save_file(state, tmp_path / "state.safetensors")
        state = load_file(tmp_path / "state.safetensors")
    other.restore(state)
    assert other.step_number == 4 and other.learning_rate == trainer.learning_rate
    for _ in range(4):
        a, b = trainer.step(), other.step()
        assert (a.step, a.loss, a.gradient_norm) == (b.step, b.loss, b.gradient_norm)
        assert torch.equal(a.batch.x0, b.batch.x0) and torch.equal(a.batch.t, b.batch.t)
    assert same(trainer.state(), other.state())


def test_a_state_before_the_first_step_is_one_too(make):
    trainer, other = make(), make()
    run(other, 3)
    other.restore(trainer.state())
    run(trainer, 2), run(other, 2)
    assert same(trainer.state(), other.state())


@pytest.mark.parametrize("kind", ["plane", "digits"])
def test_a_state_is_a_copy(make, kind):
    """Neither the run that gave it nor one that took it writes to it, so that it can be restored again and again."""
    trainer, other = make(kind), make(kind)
    run(trainer, 3)
    state = trainer.state()
    kept = {k: v.clone() for k, v in state.items()}
    other.restore(state)
    run(trainer, 2), run(other, 2)
    assert same(state, kept)
    after = other.state()
    other.restore(state)
    run(other, 2)
    assert same(other.state(), after)


def without(key):
    return lambda state: {k: v for k, v in state.items() if k != key}


def changed(key, change):
    return lambda state: state | {key: change(state[key])}


def cut(v):
    return v[:-1].clone()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: {},
        without("step"),
        without("learning_rate"),
        without("generator"),
        without("cpu_generator"),
        without("model.network.inputs.weight"),
        without("average.network.inputs.weight"),
        without("adam.0.exp_avg"),
        without("adam.0.exp_avg_sq"),
        without("adam.0.step"),
        changed("model.network.inputs.weight", cut),
        changed("average.network.inputs.weight", cut),
        changed("adam.0.exp_avg", cut),
        changed("adam.0.exp_avg_sq", cut),
        changed("adam.0.exp_avg_sq", lambda v: v[:1].clone()),
        changed("generator", cut),
        changed("cpu_generator", cut),
        changed("step", lambda v: torch.tensor([1, 2])),
        changed("learning_rate", lambda v: torch.zeros(2)),
        lambda state: state | {"model.network.more": torch.zeros(2)},
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(make, spoil):
    """One sentence, and the run goes on as if nobody had asked."""
    source, trainer, twin = make(), make(), make()
    run(source, 5), run(trainer, 2), run(twin, 2)
    with pytest.raises(ValueError, match=r"^The saved state does not match this configuration; resume with"):
        trainer.restore(spoil(source.state()))
    assert same(trainer.state(), twin.state()) and trainer.step_number == 2
    run(trainer, 2), run(twin, 2)
    assert same(trainer.state(), twin.state())


def test_the_state_of_another_network_is_refused(make):
    wide = make(network=NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 16))))
    deep = make(network=NetworkConfig("mlp", (("depth", 2), ("features", 2), ("width", 8))))
    for other in (wide, deep, make("digits")):
        run(other, 1)
        with pytest.raises(ValueError, match="does not match"):
            make().restore(other.state())


# --- the learning rate ---


def rates(trainer, steps, before=0.0):
    """Adam's steps under a constant gradient are the learning rates."""
    out = []
    for _ in range(steps):
        trainer.step()
        now = float(trainer.model.network.w.detach())
        out.append(before - now)
        before = now
    return out


@pytest.fixture
def slope(monkeypatch):
    monkeypatch.setitem(LOSSES, "bound", lambda model, x0, t, noise: 3 * model.network.w.expand(len(x0)))


def test_warmup_rises_by_equal_parts_and_no_decay_stays(slope):
    """k/5 of 0.1 for k = 1..5, then 0.1 on and on, beyond ``steps`` too."""
    trainer = line(steps=6, batch=2, learning_rate=0.1, warmup=5, decay="none")
    wanted = [0.02, 0.04, 0.06, 0.08, 0.1] + [0.1] * 7
    assert rates(trainer, 12) == pytest.approx(wanted, rel=1e-4)


def test_warmup_and_cosine_multiply(slope):
    """min(1, k/3)·½(1 + cos π(k−1)/8)·0.1; past the end nothing moves."""
    trainer = line(steps=8, batch=2, learning_rate=0.1, warmup=3)
    wanted = [0.1 * min(1, k / 3) * 0.5 * (1 + math.cos(math.pi * (k - 1) / 8)) for k in range(1, 9)]
    assert rates(trainer, 10) == pytest.approx([*wanted, 0, 0], rel=1e-4, abs=1e-9)


def test_the_learning_rate_may_be_changed_on_the_way(slope):
    """From the next step on, the schedule's share of the new one."""
    trainer = line(steps=8, batch=2, learning_rate=0.1)
    first = rates(trainer, 3)
    trainer.learning_rate = 0.02
    rest = rates(trainer, 3, before=-sum(first))
    share = [0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(6)]
    assert first + rest == pytest.approx([0.1 * s for s in share[:3]] + [0.02 * s for s in share[3:]], rel=1e-4)


# --- what a step tells ---


@pytest.mark.parametrize("loss", ["bound", "simple"])
@pytest.mark.parametrize("kind", ["plane", "digits"])
def test_a_step_tells_what_it_was_trained_on(make, kind, loss):
    """The losses are those of its batch under the weights before it, one per datum; their mean is the loss; times 2..T."""
    trainer = make(kind, loss=loss)
    run(trainer, 3)
    before = copy.deepcopy(trainer.model)
    step = trainer.step()
    x0, t, noise = step.batch.inputs
    assert x0.shape == noise.shape == (16, *x0.shape[1:]) and t.shape == step.losses.shape == (16,)
    torch.testing.assert_close(step.losses, LOSSES[loss](before, x0, t, noise).detach(), rtol=1e-5, atol=1e-6)
    assert step.loss == pytest.approx(float(step.losses.mean()), rel=1e-6)
    assert int(t.min()) >= 2 and int(t.max()) <= 20 and len(t.unique()) >= 14
    assert not step.losses.requires_grad and step.losses.std() > 0
    assert step.gradient_norm > 0 and step.average is trainer.average


def test_data_may_be_a_function(make):
    """(n, generator) → data: the function that draws rows as the tensor would gives the same weights; images come from their pool."""
    asked = []

    def draw(n, generator):
        asked.append(n)
        return PLANE[torch.randint(len(PLANE), (n,), generator=generator)]

    config = TrainConfig(steps=3, batch=16, warmup=3)
    by_function = list(train_steps(build_model(MLP, DIFFUSION), draw, config))
    by_tensor = list(train_steps(build_model(MLP, DIFFUSION), PLANE, config))
    assert asked == [16] * 3
    assert [s.loss for s in by_function] == [s.loss for s in by_tensor]
    assert same(by_function[-1].average.state_dict(), by_tensor[-1].average.state_dict())


def test_batches_of_digits_are_training_digits(make, digits):
    x0 = make("digits").step().batch.x0
    known = {bytes(image.flatten().tolist()) for image in digits.train}
    assert all(bytes(image.flatten().tolist()) in known for image in digits.pixels(x0))


# --- precision ---


def test_bfloat16_is_for_the_network_alone(make):
    """Convolutions compute in bfloat16; weights, moments, losses stay float32. The loss is the float32 one to 2 %, not exactly."""
    trainer, exact = make("digits", precision="bfloat16"), make("digits")
    seen = []
    trainer.model.network.middle.conv1.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    for _ in range(6):
        step, other = trainer.step(), exact.step()
        assert step.loss == pytest.approx(other.loss, rel=0.02)
    assert step.loss != other.loss and step.losses.dtype == torch.float32
    assert set(seen) == {torch.bfloat16}
    dtypes = {v.dtype for k, v in trainer.state().items() if k.startswith(("model.", "average.", "adam."))}
    assert dtypes == {torch.float32}
    mean, variance = trainer.average.x0_posterior(step.batch.x0, 5)
    assert mean.dtype == variance.dtype == torch.float32


# --- memory ---


def limited(limit, refused=None):
    """A loss that needs memory: none for a batch up to ``limit``. ``refused`` gets a weak reference for each that was too large."""

    class Activations:
        pass

    def loss(model, x0, t, noise):
        held = Activations()  # lives as long as this frame
        if refused is not None:
            assert all(reference() is None for reference in refused), "what did not fit is still held"
            refused.append(weakref.ref(held))
        if len(x0) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return (model.network.w - 1).square().expand(len(x0))

    return loss


@pytest.mark.parametrize("batch, limit, fits", [(64, 10, 8), (9, 8, 4), (100, 1, 1), (4, 3, 2)])
def test_out_of_memory_offers_a_batch_that_fits(monkeypatch, batch, limit, fits):
    """The first of the halves that goes through; nothing of a failed attempt is held during the next; the weights stay."""
    monkeypatch.setitem(LOSSES, "bound", limited(10**9))
    trainer = line(steps=9, batch=batch)
    run(trainer, 2)
    kept = {k: v for k, v in trainer.state().items() if "generator" not in k}
    monkeypatch.setitem(LOSSES, "bound", limited(limit, refused=[]))
    with pytest.raises(OutOfMemory) as caught:
        trainer.step()
    assert caught.value.batch == fits and caught.value.step == 2
    assert str(caught.value) == f"A batch of {batch} does not fit into this device's memory; a batch of {fits} fits."
    assert same({k: v for k, v in trainer.state().items() if "generator" not in k}, kept)
    assert all(p.grad is None for p in trainer.model.parameters())


def test_out_of_memory_when_nothing_fits(monkeypatch):
    for batch in (8, 1):
        monkeypatch.setitem(LOSSES, "bound", limited(0))
        with pytest.raises(OutOfMemory, match="a batch of 1 does not fit either: choose a smaller network") as caught:
            line(steps=3, batch=batch).step()
        assert caught.value.batch is None and isinstance(caught.value, TrainingError)


def test_out_of_memory_while_drawing_counts_too(monkeypatch):
    """Data too large for the device, not only what the network makes of them."""
    monkeypatch.setitem(LOSSES, "bound", limited(10**9))

    def draw(n, generator):
        if n > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return torch.zeros(n, 2)

    trainer = Trainer(ReverseModel(Line(), GaussianDiffusion(make_schedule("paper", 5))), draw, TrainConfig(steps=2, batch=16))
    with pytest.raises(OutOfMemory) as caught:
        trainer.step()
    assert caught.value.batch == 4


def test_other_errors_of_a_loss_are_not_taken_for_memory(monkeypatch):
    def broken(model, x0, t, noise):
        raise RuntimeError("shapes do not match")

    monkeypatch.setitem(dpm_core.training.losses.LOSSES, "bound", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        line(steps=2, batch=2).step()


def test_memory_that_ends_in_the_optimiser_is_said_as_such(monkeypatch):
    """Adam makes its moments in its first step, after the gradients fitted: OutOfMemory, not a stray error, and no weight moved."""
    model = build_model(NetworkConfig("mlp", (("depth", 1), ("width", 8))), GaussianDiffusion(make_schedule("cosine", 5)))
    trainer = Trainer(model, torch.randn(50, 2, generator=torch.Generator().manual_seed(0)), TrainConfig(batch=8))
    before = [p.detach().clone() for p in model.parameters()]

    def full(*args):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(trainer._optimiser, "step", full)
    with pytest.raises(OutOfMemory):
        trainer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters())) and trainer.step_number == 0


def test_bfloat16_keeps_the_finest_noise():
    """Training in bfloat16: the average is read in float32, and the first layer sees x unrounded, so noise of 1e-3 about 1 shows."""
    diffusion = GaussianDiffusion(make_schedule("log_snr", 50, start=13.0))
    for network in (NetworkConfig("unet", (("width", 8),)), NetworkConfig("multiscale", (("dense", 0), ("width", 8)))):
        model = build_model(network, diffusion, (1, 8, 8))
        trainer = Trainer(model, torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)), TrainConfig(precision="bfloat16"))
        assert (trainer.model.precision, trainer.average.precision) == (torch.bfloat16, torch.float32)
        seen = []
        first = model.network.inputs if network.name == "unet" else model.network.convolutions[0]
        first.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append((inputs[0].dtype, output.dtype)))
        model.x0_posterior(torch.ones(2, 1, 8, 8), 3)
        assert seen == [(torch.float32, torch.float32)]
