"""The sum-of-functions optimiser: exact on sums of quadratics, its algebra step by step, and logistic regression."""

from __future__ import annotations

import pytest
import torch

from dpm_core.lab.optimiser.secant_hessian import from_history
from dpm_core.lab.optimiser.subfunction_models import Models
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
    """The minimum to 1e-6, the loss to 1e-11, after 30 passes through the subfunctions."""
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
    """Two evaluations tell the curvature of one quadratic: its model is then the function everywhere, and the next step its minimum."""
    x = torch.tensor([3.0], dtype=D, requires_grad=True)
    optimiser = SFO([x], [lambda: 2.0 * (x[0] - 1) ** 2 + 5])
    assert optimiser.step() == pytest.approx(13.0)
    assert float(x.detach()) == pytest.approx(3 - 3e-4, abs=1e-12), "the first step only measures the curvature"
    optimiser.step()
    assert float(x.detach()) == pytest.approx(1.0, abs=1e-9), "the minimum of the model"
    for at in (-2.0, 0.5, 4.0):
        assert optimiser.predicted(torch.tensor([at], dtype=D)) == pytest.approx(2 * (at - 1) ** 2 + 5, abs=1e-8)
    model = optimiser.models()[0]
    assert float(model.hessian) == pytest.approx(4, abs=1e-9)


def step_and_compare(optimiser, count):
    """Take steps; yield after each the models that were renewed, before and after."""
    before = {}
    for _ in range(count):
        optimiser.step()
        now = optimiser.models()
        yield {i: (before[i], model) for i, model in now.items() if i in before and not torch.equal(before[i].x, model.x)}
        before = now


def test_every_update_keeps_the_secant_condition():
    """Along the last difference of positions each Hessian has exactly the curvature that was seen, H s = y, and it is positive."""
    hessians, minima, _ = quadratics(3, 6)
    _, optimiser = optimiser_of(hessians, minima, torch.zeros(6, dtype=D))
    seen = 0
    for renewed in step_and_compare(optimiser, 18):
        for i, (old, new) in renewed.items():
            s, y = new.x - old.x, new.gradient - old.gradient
            assert torch.allclose(y, hessians[i] @ s, atol=1e-9), "the gradients are those of the subfunction"
            if float(s.norm()) > 1e-6:
                assert torch.allclose(new.hessian @ s, y, atol=1e-9 + 1e-6 * float(y.norm()))
                seen += 1
        for model in optimiser.models().values():
            assert float(torch.linalg.eigvalsh(model.hessian).min()) > 0
    assert seen >= 9


def test_a_step_goes_to_the_minimum_of_the_sum_of_the_models():
    """Eq. 3: the gradient of the sum of all models vanishes where a full step ends."""
    hessians, minima, _ = quadratics(4, 3)
    x, optimiser = optimiser_of(hessians, minima, torch.full((3,), 2.0, dtype=D))
    full = 0
    for _ in range(30):
        before, evaluations = x.detach().clone(), optimiser.evaluations
        optimiser.step()
        if optimiser.evaluations > evaluations + 1:
            continue  # the last step had failed, so this one began elsewhere
        models = optimiser.models().values()
        end, start = (sum(model.gradient + model.hessian @ (at - model.x) for model in models) for at in (x.detach(), before))
        if float(start.norm()) < 1e-6:
            break
        share = 1 - float(end @ start / (start @ start))
        assert -1e-9 < share < 1 + 1e-9 and torch.allclose(end, (1 - share) * start, atol=1e-9), "a share of the way to the minimum"
        full += float(end.norm()) < 1e-9
    assert full >= 8  # the others were shortened after a failure


def test_a_hessian_from_its_history_is_that_of_a_quadratic():
    """BFGS finds the whole Hessian from as many conjugate differences as dimensions; the scale is its smallest curvature."""
    generator = torch.Generator().manual_seed(5)
    root = torch.randn(4, 4, generator=generator, dtype=D)
    hessian = root @ root.T + 0.2 * torch.eye(4, dtype=D)
    values, conjugate = torch.linalg.eigh(hessian)  # eigenvectors are conjugate
    found = from_history(conjugate.T.contiguous(), (hessian @ conjugate).T.contiguous())
    assert torch.allclose(found.matrix(), hessian, atol=1e-10) and found.scale == pytest.approx(float(values[0]), rel=1e-10)
    few = from_history(conjugate[:, 1:3].T, (hessian @ conjugate[:, 1:3]).T)
    assert few.scale == pytest.approx(float(values[1]), rel=1e-10), "unknown directions: the smallest curvature that was seen"
    assert torch.allclose(few.matrix() @ conjugate[:, 0], values[1] * conjugate[:, 0], atol=1e-10)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ill_conditioned_sums_end_exactly_within_twenty_passes(seed):
    """30 subfunctions of 20 parameters, condition number about 1e4: the authors' own program needs 17.5 to 19 passes to 1e-9."""
    hessians, minima, _ = quadratics(30, 20, seed=1)
    scale = torch.logspace(0, -2, 20, dtype=D)
    hessians = [scale[:, None] * h * scale for h in hessians]
    best = torch.linalg.solve(sum(hessians), sum(h @ c for h, c in zip(hessians, minima)))
    x = torch.full((20,), 2.0, dtype=D).requires_grad_()
    optimiser = SFO([x], [lambda h=h, c=c: 0.5 * (x - c) @ h @ (x - c) for h, c in zip(hessians, minima)], seed=seed)

    def total(at):
        return float(sum(0.5 * (at - c) @ h @ (at - c) for h, c in zip(hessians, minima)))

    while optimiser.evaluations < 20 * 30:
        optimiser.step()
    assert total(x.detach()) - total(best) < 1e-9


def test_the_state_continues_exactly():
    """Another optimiser with the state takes the same steps, bit for bit; also with a reduced subspace and float32 parameters."""
    generator = torch.Generator().manual_seed(3)
    data, target = torch.randn(40, 60, generator=generator), torch.randn(40, generator=generator)

    def new():
        w = torch.zeros(60, requires_grad=True)
        closures = [lambda i=i: (torch.tanh(data[i::5] @ w) - target[i::5]).square().sum() for i in range(5)]
        return w, SFO([w], closures)

    one, first = new()
    for _ in range(60):
        first.step()
    state = {k: v.clone() for k, v in first.state_dict().items()}
    two, second = new()
    second.load_state_dict(state)
    assert torch.equal(one, two)
    for _ in range(60):
        assert first.step() == second.step()
    assert torch.equal(one, two) and first.evaluations == second.evaluations
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())
    with pytest.raises(ValueError, match="other parameters or subfunctions"):
        SFO([one], [lambda: one.sum()]).load_state_dict(state)


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
    """Within 1e-4 of the optimum in eight effective passes; at first with two minibatches, in the end with all."""
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
    assert optimiser.in_use == 2
    while optimiser.evaluations < 8 * batches:
        optimiser.step()
    assert full(w.detach()) - 0.3621450 < 1e-4 < start and optimiser.in_use == batches


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


def test_a_step_that_overshoots_is_taken_back():
    """√(1 + x²) from x = 3 is far flatter than at its minimum: a step fails, and the minimum is found."""
    x = torch.tensor([3.0], dtype=D, requires_grad=True)
    optimiser = SFO([x], [lambda: (1 + x[0].square()).sqrt()])
    for _ in range(40):
        optimiser.step()
    assert optimiser.evaluations > 40, "a failure costs an evaluation where the step began"
    assert float(x.detach()) == pytest.approx(0, abs=1e-6)


def test_models_outside_of_the_subspace_have_their_usual_curvature():
    """200 parameters, of which no gradient has a component along the last: every model's Hessian there is positive, not 0."""
    w = torch.zeros(200, dtype=D, requires_grad=True)
    optimiser = SFO([w], [lambda i=i: 0.5 * (w[i : i + 40] - 1).square().sum() for i in range(2)])
    for _ in range(12):
        optimiser.step()
    assert optimiser.subspace < 200
    for model in optimiser.models().values():
        values = torch.linalg.eigvalsh(model.hessian)
        assert float(values[0]) > 0 and float(model.hessian[-1, -1]) == pytest.approx(float(values[0]), rel=1e-6)


def test_a_loss_that_is_never_finite_again_is_said_and_the_parameters_stay():
    """NaN everywhere from the sixth evaluation on: ValueError, and the parameters are where the last step began."""
    x, calls = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True), []

    def part(i):
        calls.append(i)
        value = 0.5 * ((x - i) ** 2).sum()
        return value * float("nan") if len(calls) > 8 else value

    optimiser = SFO([x], [lambda i=i: part(i) for i in range(3)])
    with pytest.raises(ValueError, match="not finite"):
        for _ in range(20):
            optimiser.step()
    assert torch.isfinite(x).all()


def test_differences_that_lose_their_curvature_in_new_coordinates_are_left_out():
    """After a projection only differences with a positive product of step and change stay, in their order."""
    models = Models(1, 3)
    models.seen[0], models.kept[0] = 4, 3
    models.steps[0, :3] = torch.tensor([[1.0, 0, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float64)
    models.changes[0, :3] = torch.tensor([[2.0, 0, 0], [-1, 0, 3], [0, 4, 0]], dtype=torch.float64)
    models.turn(torch.diag(torch.tensor([1.0, 1, 0], dtype=torch.float64)))  # of the second pair the part that was curved up is gone
    assert int(models.kept[0]) == 2
    assert models.steps[0, :2].tolist() == [[1, 0, 0], [0, 1, 0]] and models.changes[0, :2].tolist() == [[2, 0, 0], [0, 4, 0]]
    assert not models.steps[0, 2:].any()


def test_the_predicted_fall_is_that_of_the_step_that_was_taken():
    """Of a sum of quadratics the models are exact, so the fall that they predict for a shortened step is the true one."""
    x = torch.tensor([4.0, 1.0], dtype=torch.float64, requires_grad=True)
    weights = [torch.tensor([1.0, 5.0]), torch.tensor([3.0, 2.0])]
    optimiser = SFO([x], [lambda w=w: 0.5 * (w * x**2).sum() for w in weights])
    for _ in range(30):
        optimiser.step()
    with torch.no_grad():
        optimiser._go(optimiser._x + 1.0)
    before = float(sum(0.5 * (w * x.detach() ** 2).sum() for w in weights))
    optimiser._share = 0.25
    optimiser.evaluations = 0  # no limit from the length of earlier steps
    optimiser._move(optimiser._models.hessians.sum(0))
    after = float(sum(0.5 * (w * x.detach() ** 2).sum() for w in weights))
    assert optimiser._gain == pytest.approx(before - after, rel=1e-6)
