"""The sum-of-functions optimiser: exact on sums of quadratics, its algebra step by step, and logistic regression."""

from __future__ import annotations

import pytest
import torch

from dpm_core.lab.sum_of_functions import SFO

D = torch.float64


def quadratics(n, m, seed=0, flat=0.1):
    """Hessians and minima of n subfunctions of m parameters, and the minimum of their sum."""
    generator = torch.Generator().manual_seed(seed)
    roots = [torch.randn(m, m, generator=generator, dtype=D) for _ in range(n)]
    hessians = [root @ root.T / m + flat * torch.eye(m, dtype=D) for root in roots]
    minima = [torch.randn(m, generator=generator, dtype=D) for _ in range(n)]
    return hessians, minima, torch.linalg.solve(sum(hessians), sum(h @ c for h, c in zip(hessians, minima)))


def optimiser_of(hessians, minima, start):
    x = start.clone().requires_grad_()
    return x, SFO([x], [lambda h=h, c=c: 0.5 * (x - c) @ h @ (x - c) for h, c in zip(hessians, minima)])


@pytest.mark.parametrize(("n", "m"), [(1, 3), (5, 8), (10, 20)])
def test_a_sum_of_quadratics_ends_exactly(n, m):
    """The minimum to 1e-7, the loss to 1e-12, after 30 passes through the subfunctions."""
    hessians, minima, best = quadratics(n, m)
    x, optimiser = optimiser_of(hessians, minima, torch.full((m,), 2.0, dtype=D))
    for _ in range(30 * n):
        optimiser.step()
    assert float((x.detach() - best).abs().max()) < 1e-6

    def total(at):
        return float(sum(0.5 * (at - c) @ h @ (at - c) for h, c in zip(hessians, minima)))

    assert total(x.detach()) - total(best) < 1e-11


def test_the_subspace_stays_small_and_loses_nothing():
    """200 parameters, 4 subfunctions of 12 directions: the subspace is far below 200, and the minimum within it is found."""
    m, n = 200, 4
    generator = torch.Generator().manual_seed(1)
    directions = torch.linalg.qr(torch.randn(m, 12, generator=generator, dtype=D)).Q
    hessians = [directions @ torch.diag(torch.rand(12, generator=generator, dtype=D) + 0.1) @ directions.T for _ in range(n)]
    minima = [directions @ torch.randn(12, generator=generator, dtype=D) for _ in range(n)]
    x, optimiser = optimiser_of(hessians, minima, torch.zeros(m, dtype=D))
    for _ in range(40 * n):
        optimiser.step()
    gradient = sum(h @ (x.detach() - c) for h, c in zip(hessians, minima))
    assert float(gradient.norm()) < 1e-6 and optimiser.subspace <= 2 * n + 1 + 20


def test_the_models_agree_with_the_subfunctions_where_they_were_made():
    """With one quadratic of known curvature the first model is exact: its prediction is the function everywhere."""
    x = torch.tensor([3.0], dtype=D, requires_grad=True)
    optimiser = SFO([x], [lambda: 2.0 * (x[0] - 1) ** 2 + 5])
    assert optimiser.step() == pytest.approx(13.0)
    assert float(x.detach()) == pytest.approx(1.0, abs=1e-6), "the minimum of the model"
    for at in (-2.0, 0.5, 4.0):
        assert optimiser.predicted(torch.tensor([at], dtype=D)) == pytest.approx(2 * (at - 1) ** 2 + 5, abs=1e-5)


def test_hessians_learn_the_curvature_of_their_own_subfunction():
    """BFGS: along the last difference of positions each Hessian has exactly the curvature that was seen (secant equation)."""
    hessians, minima, _ = quadratics(3, 6)
    _, optimiser = optimiser_of(hessians, minima, torch.zeros(6, dtype=D))
    for _ in range(12):
        before = {i: (optimiser._basis @ model.x, optimiser._basis @ model.gradient) for i, model in optimiser._models.items()}
        optimiser.step()
        for i, model in optimiser._models.items():
            if i in before:
                s, y = optimiser._basis @ model.x - before[i][0], optimiser._basis @ model.gradient - before[i][1]
                if float(s.norm()) > 1e-6:
                    assert torch.allclose(optimiser._basis @ (model.hessian @ (optimiser._basis.T @ s)), y, atol=1e-8)
        for model in optimiser._models.values():
            assert float(torch.linalg.eigvalsh(model.hessian).min()) > 0


def test_several_tensors_of_any_precision_and_an_unused_one():
    """Parameters are set in place in their own type; one that no subfunction uses stays as it was."""
    a, b = torch.zeros(2, 2, requires_grad=True), torch.ones(3, requires_grad=True)
    unused = torch.full((2,), 7.0, requires_grad=True)
    optimiser = SFO([a, b, unused], [lambda: (a - 1).square().sum(), lambda: (b + 2).square().sum() + 0.1 * a.square().sum()])
    for _ in range(40):
        optimiser.step()
    assert torch.allclose(b, torch.full((3,), -2.0), atol=1e-4) and torch.allclose(a, torch.full((2, 2), 1 / 1.1), atol=1e-4)
    assert torch.equal(unused.detach(), torch.full((2,), 7.0)) and a.dtype == torch.float32


def test_logistic_regression_of_digits_in_a_few_passes():
    """Within 5e-3 of the optimum in eight effective passes; the evaluations are counted."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = torch.cat([torch.tensor(digits.data / 16), torch.ones(len(digits.data), 1, dtype=D)], 1)
    y, n, batches = torch.tensor(digits.target), len(digits.data), 30
    w = torch.zeros(65, 10, dtype=D, requires_grad=True)

    def loss(at, i):
        return (
            torch.nn.functional.cross_entropy(x[i::batches] @ at, y[i::batches], reduction="sum") / n + 1e-3 * at.square().sum() / batches
        )

    def full(at):
        return float(sum(loss(at, i) for i in range(batches)))

    optimiser = SFO([w], [lambda i=i: loss(w, i) for i in range(batches)])
    start = full(w.detach())
    for _ in range(8 * batches):
        optimiser.step()
    assert optimiser.evaluations == 8 * batches + 1  # one more to measure the first curvature
    assert full(w.detach()) - 0.3621451 < 5e-3 < start


def test_a_step_that_leaves_the_domain_is_taken_back():
    """Subfunctions that are not finite beyond a wall: the optimiser returns and converges inside."""
    x = torch.tensor([0.5], dtype=D, requires_grad=True)
    optimiser = SFO([x], [lambda: -torch.log(x[0]) + x[0], lambda: 0.5 * x[0].square() - 0.1 * torch.log(x[0])])
    for _ in range(60):
        optimiser.step()
    root = (-1 + 5.4**0.5) / 2  # −1.1/x + 1 + x = 0
    assert float(x.detach()) == pytest.approx(root, abs=1e-6)


def test_what_cannot_be_optimised_is_said_in_a_sentence():
    x = torch.zeros(1, requires_grad=True)
    with pytest.raises(ValueError, match="at least one parameter"):
        SFO([torch.zeros(1)], [lambda: x.sum()])
    with pytest.raises(ValueError, match="at least one closure"):
        SFO([x], [])
    with pytest.raises(ValueError, match="not finite at the start"):
        SFO([x], [lambda: x.sum() / 0 * 0]).step()
