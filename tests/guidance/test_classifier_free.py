"""Class-conditional models: the label input of networks, label dropout, and classifier-free guidance."""

from __future__ import annotations

import pytest
import torch

from dpm_core.config import ConfigError, NetworkConfig, TrainConfig
from dpm_core.data.dataset import labelled_rows
from dpm_core.data.toy2d import DATASETS
from dpm_core.process import BinomialDiffusion, GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.samplers import ancestral, ddim
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer
from dpm_core.training.losses import drop_labels

GAUSSIAN = GaussianDiffusion(make_schedule("log_snr", 20))
BINOMIAL = BinomialDiffusion(make_schedule("paper", 20, beta_1=1e-3))
CASES = {
    "mlp": (GAUSSIAN, (2,), (("width", 16),)),
    "unet": (GAUSSIAN, (1, 8, 8), (("width", 8),)),
    "bit_mlp": (BINOMIAL, (12,), (("width", 16),)),
}


@pytest.fixture(params=CASES)
def conditional(request):
    """An untrained network whose outputs depend on everything, and data to ask it for."""
    diffusion, shape, params = CASES[request.param]
    model = build_model(NetworkConfig(request.param, params, classes=3), diffusion, shape).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.normal_(std=0.3, generator=generator)
    return model, diffusion.start((6, *shape), generator)


def test_the_label_is_an_input(conditional):
    """Each class has its own answer; None and the number of classes mean "no label"; a label for each datum or one for all."""
    model, xt = conditional
    answers = [model.given(label).x0_posterior(xt, 9)[0] for label in (0, 1, 2, None)]
    assert all(float((a - b).abs().max()) > 1e-3 for i, a in enumerate(answers) for b in answers[:i])
    torch.testing.assert_close(model.x0_posterior(xt, 9)[0], answers[3])
    torch.testing.assert_close(model.given(3).x0_posterior(xt, 9)[0], answers[3])
    each = model.given(torch.tensor([0, 1, 2, 3, 0, 1])).x0_posterior(xt, 9)[0]
    for row, label in enumerate([0, 1, 2, 3, 0, 1]):
        torch.testing.assert_close(each[row], answers[label][row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("w", [0.0, 0.5, 2.0, -1.0])
def test_guidance_extrapolates(conditional, w):
    """(1+w)·conditional − w·unconditional: of x̂⁽⁰⁾ and so of the predicted noise; of log odds for bits. w = −1 is unconditional."""
    model, xt = conditional
    t, diffusion = 9, model.diffusion
    given, without, guided = (m.x0_posterior(xt, t)[0].double() for m in (model.given(1), model, model.given(1, w)))
    if isinstance(diffusion, BinomialDiffusion):
        given, without, guided = torch.logit(given), torch.logit(without), torch.logit(guided)
    else:
        a, b = diffusion.schedule.alpha_bar(t).sqrt(), diffusion.schedule.noise(t).sqrt()
        given, without, guided = ((xt.double() - a * x0) / b for x0 in (given, without, guided))
    torch.testing.assert_close(guided, (1 + w) * given - w * without, rtol=1e-4, atol=1e-4)


def test_weights_of_several_classes_average_predictions(conditional):
    """¼ and ¾ in any units; one class alone is that class; with guidance the average is extrapolated."""
    model, xt = conditional
    moments = [model.given(label).x0_posterior(xt, 9) for label in (0, 2)]
    mixed = model.given(torch.tensor([1.0, 0.0, 3.0]))
    wanted = model.diffusion.combine(moments, [0.25, 0.75])
    torch.testing.assert_close(mixed.x0_posterior(xt, 9)[0], wanted[0])
    torch.testing.assert_close(mixed.x0_posterior(xt, 9)[1], wanted[1])
    torch.testing.assert_close(model.given(torch.tensor([0.0, 2.0, 0.0])).x0_posterior(xt, 9)[0], model.given(1).x0_posterior(xt, 9)[0])
    guided = model.given(torch.tensor([1.0, 0.0, 3.0]), 1.0).x0_posterior(xt, 9)[0]
    further = model.diffusion.combine([wanted, model.x0_posterior(xt, 9)], [2.0, -1.0])[0]
    torch.testing.assert_close(guided, further, rtol=1e-4, atol=1e-5)


def test_guided_models_are_kernels(conditional):
    """Every sampler takes them; the same noise without guidance gives the conditional model's samples."""
    model, x_T = conditional

    def last(kernel, w=None):
        return [s.x for s in ancestral(kernel, model.diffusion, x_T, generator=torch.Generator().manual_seed(1))][-1]

    assert torch.equal(last(model.given(1, 0.0)), last(model.given(1)))
    assert last(model.given(1, 3.0)).shape == x_T.shape
    other = model.given(1, 3.0).with_diffusion(model.diffusion)
    assert torch.equal(last(other), last(model.given(1, 3.0)))


@pytest.mark.parametrize("label", [-1, 4, torch.tensor([0, 7]), torch.tensor([0.5])])
def test_labels_out_of_range(label):
    model = build_model(NetworkConfig("mlp", classes=3), GAUSSIAN)
    with pytest.raises(ValueError, match="whole number from 0 to 2"):
        model.given(label)


def test_labels_of_a_model_without_classes():
    with pytest.raises(ValueError, match="trained without labels"):
        build_model(NetworkConfig("mlp"), GAUSSIAN).given(0)
    with pytest.raises(ValueError, match="'rbf' takes no labels; choose one of mlp, unet, bit_mlp"):
        build_model(NetworkConfig("rbf", classes=2), GAUSSIAN)
    with pytest.raises(ConfigError, match="number of classes"):
        NetworkConfig("mlp", classes=-1)
    with pytest.raises(ConfigError, match="label dropout"):
        TrainConfig(label_dropout=1.5)


def test_labels_are_dropped_as_often_as_asked():
    """A share of 0.2 of 20,000 labels, within five standard deviations; the others are unchanged."""
    label = torch.arange(20_000) % 4
    dropped = drop_labels(label, 4, 0.2, torch.Generator().manual_seed(0))
    gone = dropped == 4
    assert abs(float(gone.double().mean()) - 0.2) < 5 * (0.2 * 0.8 / 20_000) ** 0.5
    assert torch.equal(dropped[~gone], label[~gone])
    assert torch.equal(drop_labels(label, 4, 0.0), label) and bool((drop_labels(label, 4, 1.0) == 4).all())


def test_an_untrained_label_changes_nothing():
    """The vectors of labels are 0 at first, so a model that begins with the weights of an unconditional one is that model."""
    model = build_model(NetworkConfig("unet", (("width", 8),), classes=5), GAUSSIAN, (1, 8, 8))
    xt = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.given(2).x0_posterior(xt, 9)[0], model.x0_posterior(xt, 9)[0])


def test_training_learns_the_class_and_its_absence():
    """Two moons in 600 steps: samples lie on the moon that is asked for; without a label on both."""
    data, labels = DATASETS["moons"].labelled(8000, torch.Generator().manual_seed(0))
    model = build_model(NetworkConfig("mlp", (("width", 64),), classes=2), GAUSSIAN)
    trainer = Trainer(model, labelled_rows(data, labels), TrainConfig(steps=600, batch=256, ema=0.98))
    batch = trainer.draw(1000)
    assert batch.label is not None and 0.05 < float((batch.label == 2).double().mean()) < 0.16
    for _ in range(600):
        trainer.step()
    x_T = torch.randn(400, 2, generator=torch.Generator().manual_seed(1))
    exact = [DATASETS["moons"].of_class(label).exact_reverse(GAUSSIAN) for label in (0, 1)]

    def upper(kernel):
        """The share of samples that are more probable on the first moon."""
        x = [s.x for s in ddim(kernel, GAUSSIAN, x_T)][-1]
        return float((exact[0].log_marginal(x, 1) > exact[1].log_marginal(x, 1)).double().mean())

    average = trainer.average
    assert upper(average.given(0)) > 0.93 and upper(average.given(1)) < 0.07 and 0.35 < upper(average) < 0.65
