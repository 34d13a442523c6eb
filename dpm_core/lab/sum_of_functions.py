"""The sum-of-functions optimiser: quasi-Newton steps from minibatches, without a step size (Sohl-Dickstein, Poole & Ganguli, ICML 2014).

The objective is a sum of subfunctions f_i, one for each minibatch. For each a quadratic model is kept, whose Hessian is learned by BFGS
from the subfunction's own gradients. Every step moves to the minimum of the sum of all models, evaluates one subfunction there, and
replaces its model. All vectors live in a subspace that the gradients span, which stays small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

SMALLEST_TRIAL = 1e-4  # relative length of the trial step by which the very first curvature is measured
LONGEST_STEP = 10.0  # times the mean length of the steps before
TOLERANCE = 1e-10  # of a gradient outside the subspace, relative to its norm, below which the subspace is not enlarged
SPARE = 20  # directions that the subspace may have beyond what it needs


@dataclass
class _Model:
    """A subfunction's quadratic model in the subspace: where it was last evaluated, its value and gradient there, its Hessian."""

    x: Tensor
    value: float
    gradient: Tensor
    hessian: Tensor
    scale: float  # curvature along directions that are not known yet


class SFO:
    """Minimises Σ_i f_i over the parameters; a step evaluates one f_i and its gradient.

    ``params``: tensors that require gradients, changed in place, as for ``torch.optim``. ``closures``: for each subfunction a function
    without arguments that returns its loss, a scalar that depends on them; the losses are summed. ``step()`` takes one step and returns
    the loss of the subfunction that it evaluated; ``evaluations`` counts these, and len(closures) of them are an effective pass through
    the data. There are no hyperparameters to tune. Computation inside is in float64. Raises ValueError without parameters or closures.

    >>> optimiser = SFO(model.parameters(), [lambda b=b: loss(model, b) for b in batches])
    >>> for _ in range(10 * len(batches)):
    ...     optimiser.step()
    """

    def __init__(self, params: Iterable[Tensor], closures: Sequence[Callable[[], Tensor]], seed: int = 0):
        self._params = [p for p in params if p.requires_grad]
        self._closures = list(closures)
        if not self._params or not self._closures:
            raise ValueError("The optimiser needs at least one parameter that requires a gradient, and at least one closure.")
        self._generator = torch.Generator().manual_seed(seed)
        self._origin = self._read()
        self._basis = torch.zeros(len(self._origin), 0, dtype=torch.float64)
        self._x = torch.zeros(0, dtype=torch.float64)
        self._models: dict[int, _Model] = {}
        self._order = torch.randperm(len(self._closures), generator=self._generator).tolist()
        self._lengths: list[float] = []
        self._most = min(len(self._origin), 2 * len(self._closures) + 1 + SPARE)
        self.evaluations = 0

    @property
    def subspace(self) -> int:
        """Dimensions of the subspace."""
        return self._basis.shape[1]

    def step(self) -> float:
        """Evaluate the next subfunction where the parameters are, and move them to the minimum of the sum of all models."""
        i = self._choose()
        value, gradient = self._evaluate(i)
        if not self._fits(value, gradient):
            return value
        if not self._models:
            self._first(i, value, gradient)
        else:
            self._update(i, value, gradient)
        self._move()
        if self.subspace > self._most - 1 and self.subspace < len(self._origin):
            self._collapse()
        return value

    def predicted(self, x: Tensor) -> float:
        """Return the sum of the models at parameters x ``[M]`` in the subspace: what the optimiser believes the objective to be."""
        at = self._basis.T @ (x.double() - self._origin)
        return sum(self._value_at(model, at) for model in self._models.values())

    @staticmethod
    def _value_at(model: _Model, x: Tensor) -> float:
        d = x - model.x
        return model.value + float(model.gradient @ d + 0.5 * d @ model.hessian @ d)

    def _choose(self) -> int:
        """A subfunction that has not been seen; else the one whose model was made farthest away, in the metric of its own or of all."""
        if self._order:
            return self._order.pop()
        own = bool(torch.rand((), generator=self._generator) < 0.5)
        total = sum((model.hessian for model in self._models.values()), torch.zeros(self.subspace, self.subspace, dtype=torch.float64))

        def distance(i: int) -> float:
            d = self._x - self._models[i].x
            return float(d @ (self._models[i].hessian if own else total) @ d)

        return max(self._models, key=distance)

    def _fits(self, value: float, gradient: Tensor) -> bool:
        """Whether the evaluation can be used; if it is not finite, go half of the way back to where the last models were made."""
        if torch.isfinite(gradient).all() and value == value and abs(value) != float("inf"):
            return True
        if not self._models:
            raise ValueError("The loss or its gradient is not finite at the start; begin from other parameters.")
        nearest = min(self._models.values(), key=lambda model: float((self._x - model.x).norm()))
        self._go(0.5 * (self._x + nearest.x))
        for model in self._models.values():
            model.hessian *= 2
        return False

    def _first(self, i: int, value: float, gradient: Tensor) -> None:
        """The very first model: its curvature is measured by a second gradient a little way down the first."""
        self._enlarge(gradient)
        g = self._basis.T @ gradient
        length = SMALLEST_TRIAL * max(1.0, float(self._origin.norm())) / max(float(g.norm()), 1e-300)
        before = self._x
        self._go(before - length * g)
        _, trial = self._evaluate(i)
        self._go(before)
        self._enlarge(trial)
        s, y = torch.zeros(self.subspace, dtype=torch.float64), self._basis.T @ (trial - gradient)
        s[: len(g)] = -length * g
        curvature = abs(float(y @ s)) / max(float(s @ s), 1e-300)
        scale = max(curvature, 1e-8)
        g = self._basis.T @ gradient
        self._models[i] = _Model(self._x.clone(), value, g, scale * torch.eye(self.subspace, dtype=torch.float64), scale)

    def _update(self, i: int, value: float, gradient: Tensor) -> None:
        """Replace the model of subfunction i by one at the present position."""
        self._enlarge(gradient)
        g = self._basis.T @ gradient
        if (old := self._models.get(i)) is None:  # as curved as the others are on average
            known = list(self._models.values())
            hessian = sum((model.hessian for model in known[1:]), known[0].hessian.clone()) / len(known)
            scale = sum(model.scale for model in known) / len(known)
            self._models[i] = _Model(self._x.clone(), value, g, hessian, scale)
            return
        s, y = self._x - old.x, g - old.gradient
        product = float(s @ y)
        if product > 1e-12 * float(s.norm() * y.norm()):  # BFGS; otherwise the curvature along s is not positive, and H stays
            Hs = old.hessian @ s
            old.hessian = old.hessian + torch.outer(y, y) / product - torch.outer(Hs, Hs) / float(s @ Hs)
            old.scale = max(product / max(float(s @ s), 1e-300), 1e-8)
        old.x, old.value, old.gradient = self._x.clone(), value, g

    def _move(self) -> None:
        """To the minimum of the sum of all models, but not much farther than before."""
        hessian = sum((model.hessian for model in self._models.values()), torch.zeros_like(next(iter(self._models.values())).hessian))
        pull = sum((model.hessian @ model.x - model.gradient for model in self._models.values()), torch.zeros_like(self._x))
        goal = torch.linalg.solve(hessian, pull)
        step = goal - self._x
        length = float(step.norm())
        if self._lengths:
            most = LONGEST_STEP * sum(self._lengths[-50:]) / len(self._lengths[-50:])
            step = step * min(1.0, most / max(length, 1e-300))
        self._lengths.append(float(step.norm()))
        self._go(self._x + step)

    def _enlarge(self, gradient: Tensor) -> None:
        """Add the part of a gradient that is outside the subspace as a direction; the models get their usual curvature along it."""
        rest = gradient - self._basis @ (self._basis.T @ gradient)
        rest = rest - self._basis @ (self._basis.T @ rest)  # once more, for rounding
        if self.subspace >= len(self._origin) or float(rest.norm()) <= TOLERANCE * float(gradient.norm()):
            return
        self._basis = torch.cat([self._basis, (rest / rest.norm())[:, None]], 1)
        self._x = nn.functional.pad(self._x, (0, 1))
        for model in self._models.values():
            model.x, model.gradient = nn.functional.pad(model.x, (0, 1)), nn.functional.pad(model.gradient, (0, 1))
            model.hessian = nn.functional.pad(model.hessian, (0, 1, 0, 1))
            model.hessian[-1, -1] = model.scale

    def _collapse(self) -> None:
        """Reduce the subspace to what positions and last gradients span."""
        spanning = [self._x, *(model.x for model in self._models.values()), *(model.gradient for model in self._models.values())]
        u, size, _ = torch.linalg.svd(torch.stack(spanning, 1), full_matrices=False)
        turn = u[:, size > 1e-12 * size[0]]
        self._basis, self._x = self._basis @ turn, turn.T @ self._x
        for model in self._models.values():
            model.x, model.gradient, model.hessian = turn.T @ model.x, turn.T @ model.gradient, turn.T @ model.hessian @ turn

    def _evaluate(self, i: int) -> tuple[float, Tensor]:
        self.evaluations += 1
        loss = self._closures[i]()
        gradients = torch.autograd.grad(loss, self._params, allow_unused=True)
        flat = [torch.zeros_like(p) if g is None else g for p, g in zip(self._params, gradients)]
        return float(loss.detach()), torch.cat([g.detach().flatten().double().cpu() for g in flat])

    def _read(self) -> Tensor:
        return torch.cat([p.detach().flatten().double().cpu() for p in self._params])

    @torch.no_grad()
    def _go(self, x: Tensor) -> None:
        """Set the parameters to coordinates x of the subspace."""
        self._x = x
        flat, at = self._origin + self._basis @ x, 0
        for p in self._params:
            p.copy_(flat[at : at + p.numel()].view_as(p).to(p))
            at += p.numel()
