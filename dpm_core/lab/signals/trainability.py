"""Which depths can be trained: small networks on digits, over weight variance and depth (Schoenholz et al. 2017, figure 5).

All networks of one depth are trained at once, as batches of matrices; by plain stochastic gradient descent without normalisation,
so that nothing but the random start decides whether a signal reaches the end and a gradient the beginning.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from dpm_core.lab.random_networks import ACTIVATIONS
from dpm_core.lab.signals.random_network_simulation import slope

STAGES = (200, 500, 1000)  # steps after which accuracy is measured
SIGMAS = tuple(round(1 + 3 * i / 11, 4) for i in range(12))
DEPTHS = (5, 8, 12, 18, 28, 43, 65, 100)  # evenly spaced in log
TRAINING = 1437  # of the 1,797 digits; the others are held out
CLASSES = 10
EVERY = 25  # steps between two reports


@dataclass(frozen=True)
class Setting:
    """What determines a grid of trained networks, but not for how long. ``rate``: the step size of SGD."""

    activation: str = "tanh"
    sigma_b2: float = 0.05
    sigma_w2: tuple[float, ...] = SIGMAS
    depths: tuple[int, ...] = DEPTHS
    width: int = 100
    batch: int = 64
    rate: float = 0.005
    seed: int = 0

    def __post_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"Unknown activation {self.activation!r}; choose one of {', '.join(ACTIVATIONS)}.")
        if not (self.sigma_w2 and self.depths and min(self.depths) >= 1 and min(self.sigma_w2) > 0 and self.sigma_b2 >= 0):
            raise ValueError("A grid needs depths of at least 1, σ_w² above 0 and σ_b² of at least 0.")

    @property
    def name(self) -> str:
        """The name of the file of its results, which says everything that determines them."""
        text = json.dumps(asdict(self), sort_keys=True)
        return f"trainability-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}.json"


class Row(NamedTuple):
    """All networks of one depth after ``step`` steps: ``accuracy`` on the training data for each σ_w², and on held-out data.

    Between the stages accuracy is that on the last batches, and ``held_out`` is empty.
    """

    depth: int
    step: int
    accuracy: tuple[float, ...]
    held_out: tuple[float, ...] = ()


@dataclass
class Results:
    """Rows by depth and stage."""

    rows: dict[tuple[int, int], Row] = field(default_factory=dict)

    def missing(self, setting: Setting, steps: int) -> list[int]:
        """The depths that have not been trained for so many steps."""
        return [depth for depth in setting.depths if (depth, steps) not in self.rows]

    def add(self, row: Row) -> bool:
        """Take up a row that was measured at a stage; whether it was one."""
        if row.held_out:
            self.rows[row.depth, row.step] = row
        return bool(row.held_out)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Return the images ``[1797, 64]``, without their mean and with mean square 1, in a fixed random order, and their labels."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.data))
    x = torch.from_numpy(data.data[order]).float()
    x = x - x[:TRAINING].mean(0)
    return x / x[:TRAINING].square().mean().sqrt(), torch.from_numpy(data.target[order])


class _Networks:
    """Networks of one depth, one for each σ_w²: h⁽¹⁾ = W x + b, h⁽ˡ⁺¹⁾ = W φ(h⁽ˡ⁾) + b, and the last layer gives the logits."""

    def __init__(self, setting: Setting, depth: int, generator: torch.Generator):
        self.setting = setting
        sizes = [digits()[0].shape[1], *[setting.width] * depth, CLASSES]
        deviation = torch.tensor(setting.sigma_w2).sqrt()[:, None, None]
        n = len(setting.sigma_w2)
        self.w = [torch.randn(1, a, b, generator=generator) * deviation / math.sqrt(a) for a, b in itertools.pairwise(sizes)]
        self.b = [torch.randn(1, 1, b, generator=generator).expand(n, 1, b) * math.sqrt(setting.sigma_b2) for b in sizes[1:]]

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What enters every layer and all pre-activations, ``[networks, batch, ·]`` each, for images ``[batch, 64]``."""
        function = ACTIVATIONS[self.setting.activation].function
        entered, hs = [x.expand(len(self.w[0]), -1, -1)], list[Tensor]()
        for w, b in zip(self.w, self.b):
            hs.append(torch.baddbmm(b, entered[-1], w))
            entered.append(function(hs[-1]) if len(hs) < len(self.w) else hs[-1])
        return entered, hs

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One step of SGD on cross entropy, and the accuracy on this batch before it, ``[networks]``."""
        rate, (entered, hs) = self.setting.rate, self.forward(x)
        gradient = (hs[-1].softmax(-1) - torch.nn.functional.one_hot(y, CLASSES)) / len(x)
        for i in range(len(self.w) - 1, -1, -1):
            back = torch.bmm(gradient, self.w[i].mT) if i else gradient
            self.w[i].baddbmm_(entered[i].mT, gradient, alpha=-rate)
            self.b[i].sub_(gradient.sum(1, keepdim=True), alpha=rate)
            if i:
                gradient = back.mul_(self._slope(entered[i], hs[i - 1]))
        return (hs[-1].argmax(-1) == y).float().mean(1)

    def _slope(self, activated: Tensor, h: Tensor) -> Tensor:
        """φ'(h), for tanh from φ(h), as another tanh would take a third of the time of a step."""
        return 1 - activated.square() if self.setting.activation == "tanh" else slope(self.setting.activation, h)

    def accuracy(self, x: Tensor, y: Tensor) -> tuple[float, ...]:
        """The share of these digits that each network names correctly."""
        parts = [(self.forward(part)[1][-1].argmax(-1) == label).float().sum(1) for part, label in zip(x.split(256), y.split(256))]
        return tuple(torch.stack(parts).sum(0).div(len(x)).tolist())


def train_depth(setting: Setting, depth: int, steps: int) -> Iterator[Row]:
    """Yield what all networks of one depth have learned, every EVERY steps and at each stage; deterministic by ``setting.seed``."""
    generator = torch.Generator().manual_seed(1000 * setting.seed + depth)
    networks, (x, y) = _Networks(setting, depth, generator), digits()
    recent = list[Tensor]()
    for step in range(1, steps + 1):
        batch = torch.randint(TRAINING, (setting.batch,), generator=generator)
        recent.append(networks.step(x[batch], y[batch]))
        if step in STAGES or step == steps:
            yield Row(depth, step, networks.accuracy(x[:TRAINING], y[:TRAINING]), networks.accuracy(x[TRAINING:], y[TRAINING:]))
        elif step % EVERY == 0:
            yield Row(depth, step, tuple(torch.stack(recent[-EVERY:]).mean(0).tolist()))


def train(setting: Setting, steps: int, depths: list[int] | None = None) -> Iterator[Row]:
    """Yield the rows of these depths, of all by default, one depth after the other."""
    for depth in setting.depths if depths is None else depths:
        yield from train_depth(setting, depth, steps)


def load(folder: Path, setting: Setting) -> Results:
    """Return what is stored of a setting; nothing where the file is missing, damaged or that of another setting."""
    found = Results()
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        stored = json.loads((folder / setting.name).read_text(encoding="utf-8"))
        if stored["setting"] != json.loads(json.dumps(asdict(setting))):
            return found
        for entry in stored["rows"]:
            row = Row(int(entry["depth"]), int(entry["step"]), _shares(entry["accuracy"]), _shares(entry["held_out"]))
            if len(row.accuracy) != len(setting.sigma_w2) or len(row.held_out) != len(setting.sigma_w2) or row.depth not in setting.depths:
                return Results()
            found.add(row)
    return found


def _shares(values: list[float]) -> tuple[float, ...]:
    """Numbers from 0 to 1. Raises ValueError for others."""
    shares = tuple(float(value) for value in values)
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError("An accuracy must lie between 0 and 1.")
    return shares


def as_json(setting: Setting, results: Results) -> bytes:
    """Return the contents of the file ``setting.name``."""
    rows = [row._asdict() for _, row in sorted(results.rows.items())]
    return json.dumps({"setting": asdict(setting), "rows": rows}).encode()
