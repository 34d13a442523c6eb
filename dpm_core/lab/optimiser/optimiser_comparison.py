"""Four optimisers on a sum of functions, with every evaluation counted: SFO, SGD with momentum, Adam, and L-BFGS on the full sum.

An evaluation is that of one subfunction with its gradient; N of them are an effective pass. L-BFGS evaluates all N at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, takewhile
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from dpm_core.lab.sum_of_functions import SFO

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # step sizes of SGD and Adam that are compared
MEMORIES = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50)  # pairs that L-BFGS stores
MOMENTUM = 0.9
BETAS, EPSILON = (0.9, 0.999), 1e-8  # of Adam
TITLES = {"sfo": "SFO", "sgd": "SGD, momentum", "adam": "Adam", "lbfgs": "L-BFGS"}
Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Objective:
    """A sum of N subfunctions of M parameters.

    ``parts``: each takes parameters ``[..., M]`` in float64 and returns its values ``[...]``; ``total`` returns their sum in the same way.
    """

    title: str
    start: Tensor
    parts: Sequence[Function]
    total: Function

    @property
    def N(self) -> int:
        """The number of subfunctions."""
        return len(self.parts)


class Curve(NamedTuple):
    """One run: evaluations ``[k]``, from 0, and the parameters ``[k, M]`` after so many; ``setting``: step size or memory, None for SFO.

    ``loss`` ``[k]`` is the whole objective there, inf where it is not finite. Runs in many dimensions are without parameters, ``[k, 0]``.
    """

    name: str
    setting: float | None
    evaluations: np.ndarray
    x: np.ndarray
    loss: np.ndarray

    def passes_to(self, level: float, N: int) -> float | None:
        """Return the passes after which the loss stays below ``level`` until the run ends; None if it does not."""
        above = np.flatnonzero(~(self.loss < level))
        after = int(above[-1]) + 1 if len(above) else 0
        return float(self.evaluations[after] / N) if after < len(self.loss) else None


def sfo_steps(objective: Objective, seed: int = 0) -> Iterator[tuple[int, Tensor, SFO]]:
    """Yield evaluations, parameters ``[M]`` and the optimiser, at the start and after every step of SFO."""
    x = objective.start.clone().requires_grad_()
    optimiser = SFO([x], [lambda part=part: part(x) for part in objective.parts], seed)  # type: ignore[misc]
    yield 0, x.detach().clone(), optimiser
    while True:
        optimiser.step()
        yield optimiser.evaluations, x.detach().clone(), optimiser


def first_order_steps(objective: Objective, name: str, rates: Sequence[float], seed: int = 0) -> Iterator[tuple[int, Tensor]]:
    """Yield evaluations and parameters ``[R, M]`` of R runs of "sgd" or "adam", one for each step size, at the start and after every step.

    Every pass uses the subfunctions in another random order, the same in all runs; N times a subfunction stands for the objective.
    """
    rules: dict[str, Callable[[Tensor], Callable[[Tensor], Tensor]]] = {"sgd": _Momentum, "adam": _Adam}
    step_of = rules[name](torch.tensor(rates, dtype=torch.float64)[:, None])
    x = objective.start.repeat(len(rates), 1)
    generator = torch.Generator().manual_seed(seed)
    yield 0, x
    for evaluations in count(1):
        if evaluations % objective.N == 1 % objective.N:
            order = torch.randperm(objective.N, generator=generator).tolist()
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective.parts[order[(evaluations - 1) % objective.N]](x).sum(), x)
        x = x.detach() - step_of(objective.N * gradient)
        yield evaluations, x


class _Momentum:
    """The steps of SGD with momentum, as ``torch.optim.SGD`` takes them."""

    def __init__(self, rates: Tensor):
        self.rates, self.velocity = rates, torch.zeros(())

    def __call__(self, gradient: Tensor) -> Tensor:
        self.velocity = MOMENTUM * self.velocity + gradient
        return self.rates * self.velocity


class _Adam:
    """The steps of Adam (Kingma & Ba 2015, algorithm 1)."""

    def __init__(self, rates: Tensor):
        self.rates, self.t = rates, 0
        self.mean, self.square = torch.zeros(()), torch.zeros(())

    def __call__(self, gradient: Tensor) -> Tensor:
        (a, b), self.t = BETAS, self.t + 1
        self.mean = a * self.mean + (1 - a) * gradient
        self.square = b * self.square + (1 - b) * gradient.square()
        return self.rates * (self.mean / (1 - a**self.t)) / ((self.square / (1 - b**self.t)).sqrt() + EPSILON)


def sfo_curve(objective: Objective, passes: int, seed: int = 0) -> Curve:
    """Return the run of SFO until so many passes."""
    steps = takewhile(lambda step: step[0] <= passes * objective.N, sfo_steps(objective, seed))
    return make_curve(objective, "sfo", None, [(evaluations, x) for evaluations, x, _ in steps])


def first_order_curves(objective: Objective, name: str, passes: int, seed: int = 0, rates: Sequence[float] = RATES) -> list[Curve]:
    """Return the runs of "sgd" or "adam" with every step size."""
    steps = list(islice(first_order_steps(objective, name, rates, seed), passes * objective.N + 1))
    return [make_curve(objective, name, rate, [(n, x[i]) for n, x in steps]) for i, rate in enumerate(rates)]


def lbfgs_curve(objective: Objective, passes: int, memory: int = 10) -> Curve:
    """Return the run of SciPy's L-BFGS-B on the full objective, with its own line search; points are those after each iteration."""
    steps: list[tuple[int, Tensor]] = [(0, objective.start)]
    evaluations = 0

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal evaluations
        evaluations += objective.N
        at = torch.from_numpy(x.copy()).requires_grad_()
        value = objective.total(at)
        return float(value.detach()), torch.autograd.grad(value, at)[0].numpy()

    def note(x: np.ndarray) -> None:
        steps.append((evaluations, torch.from_numpy(x.copy())))

    options: dict[str, Any] = {"maxcor": memory, "maxfun": passes, "maxiter": passes, "ftol": 0.0, "gtol": 0.0}
    minimize(value_and_gradient, objective.start.numpy(), jac=True, method="L-BFGS-B", callback=note, options=options)
    return make_curve(objective, "lbfgs", memory, [(n, x) for n, x in steps if n <= passes * objective.N])


def make_curve(objective: Objective, name: str, setting: float | None, steps: Sequence[tuple[int, Tensor]]) -> Curve:
    """Return the run with these evaluations and parameters ``[M]``."""
    x = torch.stack([at for _, at in steps])
    with torch.no_grad():
        loss = objective.total(x).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=torch.inf)
    return Curve(name, setting, np.array([n for n, _ in steps]), x.numpy(), loss.numpy())


def best_of(curves: Sequence[Curve], level: float) -> Curve:
    """Return the run that is below ``level`` first and stays there; if none is, the one with the lowest mean loss in its last fifth."""

    def rank(curve: Curve) -> tuple[float, float]:
        passes = curve.passes_to(level, 1)
        return (np.inf if passes is None else passes, float(curve.loss[-max(1, len(curve.loss) // 5) :].mean()))

    return min(curves, key=rank)


def minimum_near(objective: Objective, x: Tensor, steps: int = 60) -> tuple[Tensor, float]:
    """Return the minimum that Newton's method finds from x ``[M]``, and its value. For few parameters: it needs the whole Hessian."""
    for _ in range(steps):
        at = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective.total(at), at)
        values, vectors = torch.linalg.eigh(torch.autograd.functional.hessian(objective.total, x))
        step = -vectors @ ((vectors.T @ gradient) / values.abs().clamp(min=1e-12))
        share, value = 1.0, float(objective.total(x))
        while share > 1e-10 and not float(objective.total(x + share * step)) <= value + 1e-15 * (1 + abs(value)):
            share *= 0.5
        x = x + (share if share > 1e-10 else 0.0) * step
        if float(step.norm()) < 1e-14:
            break
    return x, float(objective.total(x))
