"""Counting evaluations, the two first-order rules against PyTorch, and the objectives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpm_core.lab.optimiser import digits_comparison, plane_objectives
from dpm_core.lab.optimiser.optimiser_comparison import (
    Curve,
    best_of,
    first_order_curves,
    first_order_steps,
    lbfgs_curve,
    minimum_near,
    sfo_curve,
)

D = torch.float64


@pytest.mark.parametrize(
    ("name", "make"),
    [("sgd", lambda x, rate: torch.optim.SGD([x], lr=rate, momentum=0.9)), ("adam", lambda x, rate: torch.optim.Adam([x], lr=rate))],
)
def test_first_order_rules_are_those_of_pytorch(name, make):
    """All runs at once, each as PyTorch's optimiser would go with the same order of subfunctions, to 1e-12."""
    surface, rates = plane_objectives.make_surface("valley", 4), (0.003, 0.03)
    run = first_order_steps(surface, name, rates, seed=5)
    next(run)
    generator, xs = torch.Generator().manual_seed(5), [surface.start.clone().requires_grad_() for _ in rates]
    optimisers = [make(x, rate) for x, rate in zip(xs, rates)]
    for _ in range(3):
        for i in torch.randperm(4, generator=generator).tolist():
            for x, optimiser in zip(xs, optimisers):
                optimiser.zero_grad()
                (4 * surface.parts[i](x)).backward()
                optimiser.step()
            evaluations, found = next(run)
            assert torch.allclose(found, torch.stack([x.detach() for x in xs]), rtol=1e-12, atol=1e-12)
    assert evaluations == 12


def test_evaluations_are_counted():
    """One for a step of SGD; N for one of L-BFGS; what SFO counts is how often its subfunctions are called."""
    surface = plane_objectives.make_surface("quadratics", 6)
    assert first_order_curves(surface, "sgd", 3, rates=(0.01,))[0].evaluations.tolist() == list(range(19))
    curve = lbfgs_curve(surface, 8)
    assert curve.evaluations[0] == 0 and (np.diff(curve.evaluations) % 6 == 0).all() and curve.evaluations[-1] <= 48
    assert curve.evaluations[1] >= 12, "the start and the first step"
    calls = []

    def counted(part):
        def value(x):
            calls.append(1)
            return part(x)

        return value

    watched = plane_objectives.Surface("", surface.start, [counted(part) for part in surface.parts], surface.total, surface.minimum, 0)
    assert sfo_curve(watched, 4).evaluations[-1] in (len(calls), len(calls) - 1, len(calls) - 2, len(calls) - 3)


@pytest.mark.parametrize("name", plane_objectives.TITLES)
def test_surfaces(name):
    """The total is the sum of the parts, on any batch; the gradient vanishes at the minimum, and nothing in the drawing is lower."""
    surface = plane_objectives.make_surface(name, 7, seed=2)
    x = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0), dtype=D)
    assert torch.allclose(surface.total(x), sum(part(x) for part in surface.parts), atol=1e-12)
    assert float(surface.parts[1](x[1, 2])) == pytest.approx(float(surface.parts[1](x)[1, 2]), rel=1e-12)
    at = surface.minimum.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(surface.total(at), at)
    assert float(gradient.norm()) < 1e-9
    axis = torch.linspace(plane_objectives.LO, plane_objectives.HI, 201, dtype=D)
    assert float(surface.total(torch.cartesian_prod(axis, axis)).min()) >= surface.lowest - 1e-12
    assert float(surface.total(surface.start)) > surface.lowest + 1


def test_the_lower_of_two_minima_is_found():
    surface = plane_objectives.make_surface("two_minima", 8, seed=1)
    other, value = minimum_near(surface, -surface.minimum)
    assert value > surface.lowest + 0.1 and float((other - surface.minimum).norm()) > 2


def test_another_name_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="The surface must be one of quadratics"):
        plane_objectives.make_surface("cliff", 3)
    with pytest.raises(ValueError, match="The objective must be one of logistic"):
        digits_comparison.make_objective("cliff")


def test_passes_and_the_best_setting():
    """A run counts from where it stays below; the first such run is best, else the one whose last fifth is lowest."""

    def curve(setting, loss):
        return Curve("sgd", setting, np.arange(len(loss)) * 2, np.empty((len(loss), 0)), np.array(loss))

    jumpy, slow, wild = curve(1, [9, 0.1, 5, 0.2, 0.1]), curve(2, [9, 8, 7, 6, 0.3]), curve(3, [9, 9, np.inf, np.inf, np.inf])
    assert jumpy.passes_to(1, 4) == 1.5 and slow.passes_to(1, 4) == 2.0 and wild.passes_to(1, 4) is None
    assert best_of([wild, slow, jumpy], 1).setting == 1 and best_of([wild, slow, jumpy], 0.01).setting == 1
    assert best_of([wild, slow], 0.01).setting == 2


def test_digits_objectives():
    """The total is the sum of the minibatches; logistic regression at w = 0 is log 10; its minimum is the constant."""
    logistic, autoencoder = (digits_comparison.make_objective(name) for name in digits_comparison.TITLES)
    generator = torch.Generator().manual_seed(0)
    for objective in (logistic, autoencoder):
        x = objective.start + 0.3 * torch.randn(2, len(objective.start), generator=generator, dtype=D)
        assert torch.allclose(objective.total(x), torch.stack([part(x) for part in objective.parts]).sum(0), rtol=1e-12)
    assert float(logistic.total(logistic.start)) == pytest.approx(np.log(10), rel=1e-12)
    assert lbfgs_curve(logistic, 200, 50).loss[-1] == pytest.approx(digits_comparison.LOWEST["logistic"], abs=1e-10)
    from sklearn.datasets import load_digits

    data = torch.tensor(load_digits().data / 16)
    a, b, c, d = (p.view(s) for p, s in zip(autoencoder.start.split([1280, 20, 1280, 64]), ((64, 20), (20,), (20, 64), (64,))))
    out = torch.sigmoid(torch.sigmoid(data @ a + b) @ c + d)
    assert float(autoencoder.total(autoencoder.start)) == pytest.approx(float((out - data).square().sum() / len(data)), rel=1e-12)


def test_comparison_yields_every_optimiser(monkeypatch):
    monkeypatch.setattr(digits_comparison, "RATES", (0.1, 30.0))
    monkeypatch.setattr(digits_comparison, "MEMORIES", (5,))
    seen = list(digits_comparison.compare("logistic", 3))
    assert [progress.share for progress in seen] == sorted(progress.share for progress in seen) and seen[-1].share == 1
    last = {progress.name: progress.curves for progress in seen}
    assert list(last) == ["sfo", "lbfgs", "sgd", "adam"] and [curve.setting for curve in last["adam"]] == [0.1, 30.0]
    assert last["sgd"][0].evaluations.tolist() == [0, 30, 60, 90] and last["sfo"][0].evaluations[-1] <= 90
    assert last["sfo"][0].loss[-1] < last["sgd"][0].loss[-1]
    assert digits_comparison.lowest("logistic", last) == digits_comparison.LOWEST["logistic"]
    low = last["sfo"][0]._replace(loss=np.array([0.25]))
    assert digits_comparison.lowest("autoencoder", last | {"sfo": [low]}) == 0.25


def test_logistic_regression_in_the_plane_has_its_decay_once():
    """Far out the losses are linear in w, so F(2w) − 2 F(w) is 0.005 |w|² (4 − 2), for any number of subfunctions."""
    w = torch.tensor([3e5, -2e5], dtype=D)
    for N in (3, 10):
        total = plane_objectives.make_surface("logistic", N).total
        assert float(total(2 * w) - 2 * total(w)) == pytest.approx(0.01 * float(w.square().sum()), rel=1e-6)
