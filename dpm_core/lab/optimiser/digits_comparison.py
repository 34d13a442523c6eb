"""The paper's comparison on digits: logistic regression and a small autoencoder, loss against effective passes through the data.

As in Sohl-Dickstein, Poole & Ganguli (2014), with the 1,797 digits of scikit-learn instead of MNIST, and the sizes that fit them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dpm_core.lab.optimiser.optimiser_comparison import (
    MEMORIES,
    RATES,
    Curve,
    Function,
    Objective,
    first_order_steps,
    lbfgs_curve,
    sfo_steps,
)

BATCHES = 30  # minibatches, which are the subfunctions
DECAY = 1e-3  # times |w|² in the logistic regression
HIDDEN = 20  # units of the autoencoder
TITLES = {"logistic": "Logistic regression", "autoencoder": "Autoencoder 64-20-64"}
LOWEST = {
    "logistic": 0.362145090026,  # the minimum, by L-BFGS to a gradient of 1e-9; a test computes it again
    "autoencoder": 0.30115,  # of a run of SFO of 1,000 passes, still falling; L-BFGS ends at 0.31890 after 4,000
}


class Progress(NamedTuple):
    """The runs so far of one optimiser, with all its settings, and the share of the whole comparison that is done."""

    name: str
    share: float
    curves: list[Curve]


def make_objective(name: str) -> Objective:
    """Return one of TITLES as a sum over BATCHES minibatches of the digits. Raises ValueError for another name."""
    if name not in TITLES:
        raise ValueError(f"The objective must be one of {', '.join(TITLES)}, not {name!r}.")
    return _MAKERS[name]()


def _logistic() -> Objective:
    """Mean cross entropy of ten classes, with DECAY |w|²; 65 × 10 weights, which start at 0."""
    x, y = _digits()
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)

    def loss(rows: slice, share: float) -> Function:
        def value(w: Tensor) -> Tensor:
            logits = x[rows] @ w.unflatten(-1, (65, 10))
            right = logits.gather(-1, y[rows, None].expand(*logits.shape[:-1], 1))[..., 0]
            return (logits.logsumexp(-1) - right).sum(-1) / len(x) + DECAY * share * w.square().sum(-1)

        return value

    parts = [loss(slice(i, None, BATCHES), 1 / BATCHES) for i in range(BATCHES)]
    return Objective(TITLES["logistic"], torch.zeros(650, dtype=torch.float64), parts, loss(slice(None), 1.0))


def _autoencoder() -> Objective:
    """Mean squared error per digit of σ(σ(x A + a) B + b); 2,644 weights."""
    x, _ = _digits()
    shapes = ((64, HIDDEN), (1, HIDDEN), (HIDDEN, 64), (1, 64))
    sizes = [a * b for a, b in shapes]
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(a, b, generator=generator, dtype=torch.float64) * (a**-0.5 if a > 1 else 0) for a, b in shapes]

    def loss(rows: slice) -> Function:
        def value(w: Tensor) -> Tensor:
            into, a, back, b = (part.unflatten(-1, shape) for part, shape in zip(w.split(sizes, -1), shapes))
            out = torch.sigmoid(torch.sigmoid(x[rows] @ into + a) @ back + b)
            return (out - x[rows]).square().sum((-2, -1)) / len(x)

        return value

    parts = [loss(slice(i, None, BATCHES)) for i in range(BATCHES)]
    return Objective(TITLES["autoencoder"], torch.cat([part.flatten() for part in start]), parts, loss(slice(None)))


_MAKERS: dict[str, Callable[[], Objective]] = {"logistic": _logistic, "autoencoder": _autoencoder}


def _digits() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    return torch.tensor(digits.data / 16), torch.tensor(digits.target)


def compare(name: str, passes: int, seed: int = 0) -> Iterator[Progress]:
    """Yield the runs of all optimisers, each at the ends of passes: SFO, L-BFGS with MEMORIES, SGD and Adam with RATES."""
    objective, N = make_objective(name), BATCHES
    done: list[tuple[int, float]] = []
    for evaluations, x, _ in sfo_steps(objective, seed):
        if evaluations < len(done) * N:
            continue
        if evaluations > passes * N:
            break
        done.append((evaluations, float(objective.total(x))))
        yield Progress("sfo", 0.25 * evaluations / (passes * N), [_curve("sfo", None, done)])
    curves: list[Curve] = []
    for i, memory in enumerate(MEMORIES, 1):
        curve = lbfgs_curve(objective, passes, memory)
        curves.append(curve._replace(x=curve.x[:, :0]))
        yield Progress("lbfgs", 0.25 + 0.25 * i / len(MEMORIES), curves)
    for part, way in ((0.5, "sgd"), (0.75, "adam")):
        losses: list[list[float]] = []
        for evaluations, x in first_order_steps(objective, way, RATES, seed):
            if evaluations % N:
                continue
            with torch.no_grad():
                losses.append(objective.total(x).tolist())
            curves = [_curve(way, rate, [(N * i, row[k]) for i, row in enumerate(losses)]) for k, rate in enumerate(RATES)]
            yield Progress(way, part + 0.25 * evaluations / (passes * N), curves)
            if evaluations == passes * N:
                break


def _curve(name: str, setting: float | None, done: list[tuple[int, float]]) -> Curve:
    evaluations, loss = (np.array(column, dtype=np.float64) for column in zip(*done))
    return Curve(name, setting, evaluations, np.empty((len(done), 0)), np.nan_to_num(loss, nan=np.inf, posinf=np.inf))


def lowest(name: str, curves: dict[str, list[Curve]]) -> float:
    """Return LOWEST, the minimum of the objective or the lowest loss that is known, or what one of these runs reached below it."""
    return min([LOWEST[name], *(float(curve.loss.min()) for runs in curves.values() for curve in runs)])
