"""Real random fully connected networks, layer by layer, beside their mean field theory (Poole et al. 2016; Schoenholz et al. 2017).

Layer l maps the pre-activations h⁽ˡ⁻¹⁾ to h⁽ˡ⁾ = W⁽ˡ⁾ φ(h⁽ˡ⁻¹⁾) + b⁽ˡ⁾ with W ~ N(0, σ_w²/width) and b ~ N(0, σ_b²). The input h⁽⁰⁾ is
given as pre-activations, as in section 3 of Poole et al., so that its mean square can be chosen.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.lab.random_networks import Activation, correlation_map, fixed_point, known, susceptibility, variance_map

NETWORKS = 20  # of which means and standard errors are taken
CORRELATIONS = (0.0, 0.5, 0.95)  # of the pairs of inputs at the start
SCALES = (0.25, 1.0, 4.0)  # q of the inputs at the start, divided by its fixed point
MOST_NUMBERS = 20_000_000  # weights of the networks that are simulated at once, 80 MB; at least one network is
COLLAPSED = 1e-11  # spread of a circle below which rounding would be seen: its shape is then that of the layer before
MOST_Q = 1e12  # above which a recursion is not followed further


@dataclass(frozen=True)
class RandomNetwork:
    """The distribution of a random network: activation by name or as a function, variances, layers and width."""

    activation: Activation
    sigma_w2: float
    sigma_b2: float
    depth: int = 30
    width: int = 200

    @property
    def start(self) -> float:
        """The mean square at which the inputs begin: q*, or 1 where that is 0 or infinite."""
        q = fixed_point(self.activation, self.sigma_w2, self.sigma_b2).q_star
        return q if 0 < q < MOST_Q else 1.0


SLOPES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": lambda h: 1 - torch.tanh(h).square(),
    "erf": lambda h: 2 / math.sqrt(math.pi) * torch.exp(-h.square()),
    "relu": lambda h: (h > 0).to(h.dtype),
    "hard_tanh": lambda h: (h.abs() < 1).to(h.dtype),
}


def slope(activation: Activation, h: Tensor) -> Tensor:
    """Return φ'(h), of the shape of h."""
    if isinstance(activation, str) and activation in SLOPES:
        return SLOPES[activation](h)
    with torch.enable_grad():
        x = h.detach().requires_grad_()
        (found,) = torch.autograd.grad(known(activation).function(x).sum(), x)
    return found


class Theory(NamedTuple):
    """Predictions for layers 0 … L, float64: ``q`` [scales, L + 1], ``c`` [correlations, L + 1], ``growth`` [L + 1] of a squared
    perturbation, ‖∂h⁽ˡ⁾‖²/‖∂h⁽⁰⁾‖²."""

    q: np.ndarray
    c: np.ndarray
    growth: np.ndarray


def theory(network: RandomNetwork, scales: Sequence[float] = SCALES, correlations: Sequence[float] = CORRELATIONS) -> Theory:
    """Return q⁽ˡ⁾ (Poole et al., Eq. 3), c⁽ˡ⁾ (Eq. 5, with q⁽ˡ⁾ wherever it is) and the product of χ(q⁽ˡ⁾) (Eq. 6), which becomes χ₁ˡ.

    Correlations and growth are those of inputs that begin at ``network.start``.
    """
    w, b = (torch.tensor([value], dtype=torch.float64) for value in (network.sigma_w2, network.sigma_b2))
    q = torch.tensor([[*scales, 1.0]], dtype=torch.float64).T * network.start
    c, growth = torch.tensor([correlations], dtype=torch.float64).reshape(-1), torch.ones(1, dtype=torch.float64)
    qs, cs, grown = [q], [c], [growth]
    for _ in range(network.depth):
        before, here = q, q[-1]
        q = variance_map(network.activation, before.squeeze(-1), w, b).unsqueeze(-1).clamp(max=MOST_Q)
        growth = growth * susceptibility(network.activation, here, w)
        if float(here) > 0 and float(q[-1]) > 0:
            c = correlation_map(network.activation, c, float(here), network.sigma_w2, network.sigma_b2) * float(here / q[-1])
        qs.append(q)
        cs.append(c)
        grown.append(growth)
    return Theory(torch.cat(qs, 1)[:-1].numpy(), torch.stack(cs, 1).numpy(), torch.cat(grown).numpy())


class Signals(NamedTuple):
    """Measured in n networks, float64: ``q`` [n, scales, L + 1], ``c`` [n, correlations, L + 1]; squared norms, relative to the end at
    which they begin: ``forward`` [n, L + 1] of a perturbation of h⁽⁰⁾, ``backward`` [n, L + 1] of the gradient ∂E/∂h⁽ˡ⁾."""

    q: np.ndarray
    c: np.ndarray
    forward: np.ndarray
    backward: np.ndarray


def mean_and_error(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over the first axis, the networks, and its standard error."""
    return values.mean(0), values.std(0, ddof=1) / math.sqrt(len(values))


def measure(
    network: RandomNetwork,
    seed: int = 0,
    networks: int = NETWORKS,
    scales: Sequence[float] = SCALES,
    correlations: Sequence[float] = CORRELATIONS,
) -> Iterator[tuple[float, Signals]]:
    """Yield the share that is done and the signals in the networks so far; the last one is the whole result.

    The first weights of a seed are the same for all variances. Perturbation and gradient are random directions; both are followed
    exactly, by the derivative of the network at one input with q = ``network.start``.
    """
    generator, done = torch.Generator().manual_seed(seed), list[Signals]()
    at_once = max(1, min(networks, MOST_NUMBERS // (network.depth * network.width**2)))
    while (so_far := sum(len(part.q) for part in done)) < networks:
        done.append(_measured(network, generator, min(at_once, networks - so_far), scales, correlations))
        signals = Signals(*(np.concatenate(parts) for parts in zip(*done)))
        yield len(signals.q) / networks, signals


def _measured(
    network: RandomNetwork, generator: torch.Generator, n: int, scales: Sequence[float], correlations: Sequence[float]
) -> Signals:
    """The signals in n networks at once."""
    h = _inputs(network, generator, n, scales, correlations)
    tangent, gradient = (torch.randn(n, network.width, 1, generator=generator) for _ in range(2))
    hs, tangents, weights = [h], [tangent], list[Tensor]()
    for w, b in layers(network, generator, n):
        tangent = w @ (slope(network.activation, h[..., :1]) * tangent)
        h = w @ known(network.activation).function(h) + b
        hs.append(h)
        tangents.append(tangent)
        weights.append(w)
    gradients = [gradient]
    for w, h in zip(reversed(weights), reversed(hs[:-1])):
        gradient = slope(network.activation, h[..., :1]) * (w.mT @ gradient)
        gradients.insert(0, gradient)
    q, c = _moments(torch.stack(hs, 1).double(), len(scales))
    forward, backward = (torch.stack(x, 1).double().square().sum((-2, -1)) for x in (tangents, gradients))
    return Signals(*(x.numpy() for x in (q, c, forward / forward[:, :1], backward / backward[:, -1:])))


def _inputs(network: RandomNetwork, generator: torch.Generator, n: int, scales: Sequence[float], correlations: Sequence[float]) -> Tensor:
    """Inputs ``[n, width, 1 + len(scales) + len(correlations)]``: a first one at q, one for each scale, one for each correlation with it.

    Mean squares and correlations are exact, because the vectors are combined from orthonormal ones.
    """
    basis = torch.linalg.qr(torch.randn(n, network.width, 2, generator=generator)).Q * math.sqrt(network.width * network.start)
    first, second = basis[..., :1], basis[..., 1:]
    scaled = [math.sqrt(scale) * first for scale in scales]
    paired = [c * first + math.sqrt(1 - c**2) * second for c in correlations]
    return torch.cat([first, *scaled, *paired], -1)


def _moments(hs: Tensor, scales: int) -> tuple[Tensor, Tensor]:
    """q of the scaled inputs and c of the pairs, ``[n, k, L + 1]``, from all pre-activations ``[n, L + 1, width, inputs]``."""
    squares, products = hs.square().mean(-2), (hs[..., :1] * hs).mean(-2)
    c = products / (squares[..., :1] * squares).sqrt()
    return squares[..., 1 : 1 + scales].mT, c[..., 1 + scales :].mT


def layers(network: RandomNetwork, generator: torch.Generator, n: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield W ``[n, width, width]`` and b ``[n, width, 1]`` of every layer."""
    for _ in range(network.depth):
        w = torch.randn(n, network.width, network.width, generator=generator)
        b = torch.randn(n, network.width, 1, generator=generator)
        yield w.mul_(math.sqrt(network.sigma_w2 / network.width)), b.mul_(math.sqrt(network.sigma_b2))


class Circle(NamedTuple):
    """A circle of inputs in every layer: ``plane`` [L + 1, n, 2], its projection to the two principal components, with root mean square
    radius 1; ``share`` [L + 1] of the variance that lies in that plane; ``q`` [L + 1]; ``c`` [L + 1], the correlation of neighbours;
    ``spread`` [L + 1], the root mean square distance to the centre, divided by √(width · q)."""

    plane: np.ndarray
    share: np.ndarray
    q: np.ndarray
    c: np.ndarray
    spread: np.ndarray


def circle(network: RandomNetwork, seed: int = 0, points: int = 120) -> Circle:
    """Send √(width · q)(u cos θ + v sin θ) (Poole et al., section 3.2) through one network.

    Principal components are known up to rotation and reflection in the plane; each layer is turned to fit the one before
    (orthogonal Procrustes problem), so that a film of the layers does not flip.
    """
    generator = torch.Generator().manual_seed(seed)
    angle = torch.arange(points) * (2 * math.pi / points)
    basis = torch.linalg.qr(torch.randn(network.width, 2, generator=generator)).Q * math.sqrt(network.width * network.start)
    x = (basis @ torch.stack([angle.cos(), angle.sin()])).double().T
    plane, share, q, c, spread = list[Tensor](), list[float](), list[float](), list[float](), list[float]()
    for w, b in itertools.chain([(None, None)], layers(network, generator)):
        if w is not None and b is not None:
            x = known(network.activation).function(x) @ w[0].double().T + b[0].double().T
        squares = x.square().mean(1)
        q.append(float(squares.mean()))
        c.append(float(((x * x.roll(-1, 0)).mean(1) / (squares * squares.roll(-1)).sqrt()).mean()))
        centred = x - x.mean(0)
        gram = centred @ centred.T
        values, vectors = torch.linalg.eigh(gram)  # of n points: smaller than the covariance of width coordinates
        total = float(gram.trace())
        spread.append(math.sqrt(total / points / (network.width * q[-1])) if q[-1] > 0 else 0.0)
        if spread[-1] < COLLAPSED:
            plane.append(plane[-1])
            share.append(share[-1])
            continue
        share.append(float(values[-2:].sum()) / total)
        flat = vectors[:, -2:] * values[-2:].clamp(min=0).sqrt()
        flat = flat / flat.square().sum(1).mean().sqrt()
        towards = plane[-1] if plane else torch.stack([angle.cos(), angle.sin()], 1).double()
        left, _, right = torch.linalg.svd(flat.T @ towards)
        plane.append(flat @ left @ right)
    return Circle(torch.stack(plane).numpy(), *(np.array(one) for one in (share, q, c, spread)))
