"""How far a network's samples are those of a local kernel: the same noise, the same sampler, two kernels (Kamb & Ganguli 2024)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel


def fit_sides(
    model: ReverseKernel,
    diffusion: GaussianDiffusion,
    make: Callable[[dict[int, int]], ReverseKernel],
    held_out: Tensor,
    times: Sequence[int],
    sides: Sequence[int],
    generator: torch.Generator | None = None,
) -> Iterator[tuple[int, int, list[float]]]:
    """Yield for each time the side of the patches at which the local kernel is nearest to the network, and its errors at all sides.

    ``make`` gives the local kernel for sides by time, for example a :class:`dpm_core.reverse.LocalReverse`. The error is the mean square
    difference of both x̂⁽⁰⁾ on noised held-out images ``[n, C, H, W]``, divided by the variance of the network's.
    """
    for t in times:
        xt = diffusion.q_sample(held_out, t, generator)
        with torch.inference_mode():
            wanted = model.x0_posterior(xt, t)[0]
        scale = float(wanted.var()) or 1.0
        errors = []
        for side in sides:
            found = make({t: side}).x0_posterior(xt, t)[0]
            errors.append(float((found - wanted).square().mean()) / scale)
        yield t, sides[min(range(len(sides)), key=errors.__getitem__)], errors


def squared_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared correlation r² of the elements of each pair of data, ``[n]``, of a and b ``[n, ...]``; 0 for a constant."""
    x, y = (v.flatten(1).double() - v.flatten(1).double().mean(1, keepdim=True) for v in (a, b))
    power = x.square().sum(1) * y.square().sum(1)
    return torch.where(power > 0, (x * y).sum(1).square() / power.clamp(min=1e-300), torch.zeros_like(power))


def sides_for(shape: Sequence[int], inside: bool = False) -> list[int]:
    """Return odd sides of patches for images of height and width ``shape``, from one pixel to all that can be seen of them.

    ``inside``: patches that stay inside the image, and so are no larger than it.
    """
    most = min(shape) if inside else 2 * max(shape) + 1
    found = [side for side in (1, 3, 5, 9, 13, 17, 25, 33) if side <= most]
    return found + ([largest] if (largest := most - 1 + most % 2) <= 17 and largest not in found else [])
