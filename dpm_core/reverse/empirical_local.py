"""The exact reverse kernel under locality: every pixel is denoised from its neighbourhood alone, by the patches of training images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse.kernel import X0PosteriorKernel
from dpm_core.schedules import Time

BLOCK_ELEMENTS = 1 << 21  # distances computed at once


class LocalReverse(X0PosteriorKernel):
    """The posterior of each pixel of x⁽⁰⁾ given only the patch of x⁽ᵗ⁾ around it (Kamb & Ganguli 2024).

    Of images y ``[N, C, H, W]`` the patch around pixel p and those around pixels at most ``shift`` away are equally likely candidates,
    w ∝ exp(−|patch of x⁽ᵗ⁾ − √ᾱ_t patch of y|²/(2(1−ᾱ_t))), and x̂⁽⁰⁾ at p is the mean of their centres. With ``shift`` 0 a network that
    is local could compute it; with a larger one it is also equivariant under translations. A patch that reaches beyond an edge is
    compared only with patches that do so in the same way. For patches from anywhere in the images see ``LocalPatchReverse`` in
    ``dpm_core.inpainting.patches``.

    ``sides``: the odd side of the patches by time; at another time that of the nearest one. Without a shift, patches of more than twice the
    image's side give the exact kernel of the N images. Raises ValueError for sides that are not odd.
    """

    diffusion: GaussianDiffusion

    def __init__(self, data: Tensor, diffusion: GaussianDiffusion, sides: Mapping[int, int], shift: int = 0):
        if data.ndim != 4 or len(data) == 0:
            raise ValueError(f"The local kernel needs images [N, C, H, W], not data of shape {tuple(data.shape)}.")
        if not sides or any(side < 1 or side % 2 == 0 for side in sides.values()):
            raise ValueError(f"The sides of patches must be odd numbers, not {sorted(set(sides.values()))}.")
        if shift < 0:
            raise ValueError(f"The shift must be 0 pixels or more, not {shift}.")
        self.data, self.diffusion, self.sides, self.shift = data, diffusion, dict(sides), shift

    def side(self, t: int) -> int:
        """The side of the patches at time t."""
        return self.sides[min(self.sides, key=lambda known: abs(known - t))]

    @torch.no_grad()
    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the mean and variance of each pixel given its patch, both shaped as xt ``[n, C, H, W]``; t is one time for all."""
        time = int(torch.as_tensor(t).flatten()[0])
        schedule, side = self.diffusion.schedule, self.side(time)
        a, noise = float(schedule.alpha_bar(time)) ** 0.5, float(schedule.noise(time))
        sums = _Moments(xt)
        for y, outside in self._candidates(xt, side):
            for part in y.split(max(1, BLOCK_ELEMENTS // xt.numel())):
                squares = (xt[:, None] - a * part).square().sum(2)  # [n, B, H, W]
                logits = _box(squares, side) / (-2 * noise)
                sums.add(logits.masked_fill(outside, -torch.inf), part)
        return sums.mean_and_variance()

    def _candidates(self, xt: Tensor, side: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images in every shift, and where the patches of a shifted image do not meet the edges as those of x do, ``[1, 1, H, W]``."""
        images = self.data.to(xt)
        inside = torch.ones(1, 1, *xt.shape[2:], dtype=xt.dtype, device=xt.device)
        margin = side // 2
        around = functional.pad(inside, [margin] * 4)
        for down in range(-self.shift, self.shift + 1):
            for across in range(-self.shift, self.shift + 1):
                there = _shifted(inside, down, across, margin)
                yield _shifted(images, down, across, 0), _box((around - there).abs(), side, 0) > 0.5


class _Moments:
    """Weighted means of y and y² over candidates that come in parts, by weights exp(logits) whose sum is not known before the end."""

    def __init__(self, x: Tensor):
        self.largest = torch.full_like(x[:, :1], -torch.inf)
        self.total, self.first, self.second = torch.zeros_like(x[:, :1]), torch.zeros_like(x), torch.zeros_like(x)

    def add(self, logits: Tensor, y: Tensor) -> None:
        """Candidates y ``[B, C, H, W]`` with logits ``[n, B, H, W]``."""
        largest = torch.maximum(self.largest, logits.amax(1, keepdim=True))
        shrink = torch.where(largest.isinf(), torch.ones_like(largest), (self.largest - largest).exp())
        weights = torch.where(largest.isinf(), torch.zeros_like(logits), (logits - largest).exp())
        self.largest, self.total = largest, self.total * shrink + weights.sum(1, keepdim=True)
        self.first = self.first * shrink + torch.einsum("nbhw,bchw->nchw", weights, y)
        self.second = self.second * shrink + torch.einsum("nbhw,bchw->nchw", weights, y.square())

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """Both, ``[n, C, H, W]``."""
        mean = self.first / self.total
        return mean, (self.second / self.total - mean.square()).clamp(min=0)


def _box(x: Tensor, side: int, margin: int | None = None) -> Tensor:
    """Sums over side × side pixels around each; beyond the edges there is 0."""
    margin = side // 2 if margin is None else margin
    shape = x.shape
    x = x.reshape(-1, 1, *shape[-2:])
    x = functional.avg_pool2d(x, (side, 1), 1, (margin, 0), divisor_override=1)
    x = functional.avg_pool2d(x, (1, side), 1, (0, margin), divisor_override=1)
    return x.reshape(*shape[:-2], *x.shape[-2:])


def _shifted(x: Tensor, down: int, across: int, margin: int) -> Tensor:
    """At each pixel the value ``down`` and ``across`` pixels further, 0 beyond the edges; on a field that is larger by ``margin``."""
    height, width = x.shape[-2:]
    reach = margin + max(abs(down), abs(across))
    padded = functional.pad(x, [reach] * 4)
    top, left = reach - margin + down, reach - margin + across
    return padded[..., top : top + height + 2 * margin, left : left + width + 2 * margin]
