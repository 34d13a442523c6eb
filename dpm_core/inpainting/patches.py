"""The exact reverse kernel of an image's own patches: a model that needs no training (after Kamb & Ganguli 2024).

If every p × p window of x⁽⁰⁾ were one of the windows of known images, with equal probability, the posterior mean of a pixel given the
noisy window around it would be the average of the known windows at that place, each weighted by its Gaussian likelihood: a
non-parametric f_μ (section 2.2 of the paper). At the border a window stays inside the image, so the pixel is not at its centre. A window
as large as the image gives :class:`dpm_core.reverse.EmpiricalReverse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from dpm_core.process import GaussianDiffusion, expand
from dpm_core.reverse import X0PosteriorKernel
from dpm_core.schedules import Time

BLOCK_ELEMENTS = 1 << 22  # weights per block: 16 MB in float32


class PatchError(ValueError):
    """No window of the image is fully known, or a window is larger than the image."""


class _Table(NamedTuple):
    """The known windows of one size: as coordinates in their principal components ``[N, r]``, and as pixels ``[N, D]``."""

    keys: Tensor
    squares: Tensor  # [N], of the keys
    by_place: Tensor  # [N, side²], squares of the windows summed over colours
    basis: Tensor | None  # [D, r]; None when the keys are the windows
    windows: Tensor


class LocalPatchReverse(X0PosteriorKernel):
    """The reverse kernel of those windows of ``images`` ``[m, C, H, W]``, standardised, that contain no ``missing`` pixel.

    ``missing``: bool ``[H, W]``, for all images (none by default). ``patch``: the odd side of the windows, or a function t → side, so that
    windows can shrink with the noise. At most ``candidates`` windows are used, drawn once with ``generator``; distances are computed in
    the windows' first ``rank`` principal components. By default both are exact. Where pixels are known the mean is the first image and the
    variance 0: only missing pixels are computed. Weights are formed in blocks, so memory does not grow with the image.

    Known pixels of the first image may be compared as they are, without the noise that x⁽ᵗ⁾ has there: with ``trust`` γ the known pixels
    of a window are compared with variance γ² (1−ᾱ)/ᾱ + ``tolerance``², and only the missing ones with the noise of x⁽ᵗ⁾. This is Bayes'
    rule for a hole whose surroundings were observed with that noise; γ = 1 and tolerance 0 give the weights of x⁽ᵗ⁾. All components are
    then needed: ``rank`` has no effect.

    ``calls`` counts the evaluations; ``last_x0_mean`` is the result of the last one.
    """

    def __init__(
        self,
        images: Tensor,
        diffusion: GaussianDiffusion,
        missing: Tensor | None = None,
        patch: int | Callable[[int], int] = 7,
        candidates: int | None = None,
        rank: int | None = None,
        generator: torch.Generator | None = None,
        trust: float | None = None,
        tolerance: float = 0.0,
    ):
        if images.ndim != 4 or len(images) == 0:
            raise PatchError(f"Images of shape [m, C, H, W] with m ≥ 1 are needed, not {list(images.shape)}.")
        H, W = images.shape[2:]
        self.missing = torch.ones(H, W, dtype=torch.bool) if missing is None else missing.bool()
        if self.missing.shape != (H, W):
            raise PatchError(f"The mask has the shape {tuple(self.missing.shape)} and the images {(H, W)}; both must be equal.")
        self._source = torch.zeros(H, W, dtype=torch.bool) if missing is None else self.missing
        self.images, self.diffusion = images, diffusion
        self._patch = patch if callable(patch) else lambda t: patch
        self._candidates, self._rank, self._generator = candidates, None if trust is not None else rank, generator
        self._trust, self._tolerance = trust, tolerance
        self._tables: dict[int, _Table] = {}
        self._places: dict[int, list[tuple[Tensor, Tensor, int]]] = {}
        self.calls, self.last_x0_mean = 0, images[:1]

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ ``[n, C, H, W]``, both shaped as xt; the same t for all.

        Raises PatchError when no window of this size is fully known.
        """
        self.calls += 1
        t = int(torch.as_tensor(t).flatten()[0])
        side = self._patch(t)
        table, (n, colours) = self._table(side), xt.shape[:2]
        schedule = self.diffusion.schedule
        a, v = (expand(c, xt) for c in (schedule.alpha_bar(t).sqrt(), schedule.noise(t)))
        mean = self.images[:1].to(xt).expand_as(xt).clone()
        variance = torch.zeros_like(xt)
        bias = -0.5 * a.square() / v * table.squares
        certain = None if self._trust is None else self._trust**2 * v / a.square() + self._tolerance**2
        size = max(1, BLOCK_ELEMENTS // len(table.windows))
        for pixels, windows, offset in self._placed(side):
            values = table.windows.view(len(table.windows), colours, -1)[:, :, offset]  # [N, C]
            moments = torch.cat([values, values.square()], 1)
            for i in range(n):
                for at in range(0, len(pixels), size):
                    corners = windows[at : at + size]
                    observed = windows_at(xt[i], corners, side)
                    if certain is None:
                        query = observed if table.basis is None else observed @ table.basis
                        logits = torch.addmm(bias, query * (a / v), table.keys.T)
                    else:
                        logits = self._logits(observed, corners, side, table, (a, v, certain))
                    both = torch.softmax(logits, 1, out=logits) @ moments
                    here = pixels[at : at + size]
                    mean[i].flatten(1)[:, here] = both[:, :colours].T
                    variance[i].flatten(1)[:, here] = (both[:, colours:] - both[:, :colours].square()).clamp(min=0).T
        self.last_x0_mean = mean
        return mean, variance

    def _logits(self, found: Tensor, corners: Tensor, side: int, table: _Table, scales: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """−½ Σ (x − a y)²/v over the missing pixels of each window and −½ Σ (x⁽⁰⁾ − y)²/certain over the known ones, ``[k, N]``."""
        a, v, certain = scales
        noisy = windows_at(self.missing[None].to(found), corners, side)  # [k, side²]
        known = windows_at(self.images[0].to(found), corners, side)
        colours = found.shape[1] // noisy.shape[1]
        both = noisy.repeat(1, colours)
        linear = both * found * (a / v) + (1 - both) * known / certain
        quadratic = noisy * (a.square() / v) + (1 - noisy) / certain
        return torch.addmm(linear @ table.windows.T, quadratic, table.by_place.T, alpha=-0.5)

    def _placed(self, side: int) -> list[tuple[Tensor, Tensor, int]]:
        """The missing pixels grouped by their place in their windows: flat pixels ``[k]``, flat corners ``[k]``, offset."""
        if side not in self._places:
            H, W = self.missing.shape
            i, j = self.missing.nonzero(as_tuple=True)
            top, left = (p.sub(side // 2).clamp(0, length - side) for p, length in ((i, H), (j, W)))
            offsets = (i - top) * side + (j - left)
            groups = [offsets == offset for offset in offsets.unique()]
            self._places[side] = [((i * W + j)[g], (top * W + left)[g], int(offsets[g][0])) for g in groups]
        return self._places[side]

    def _table(self, side: int) -> _Table:
        if side not in self._tables:
            with torch.inference_mode(False):
                self._tables[side] = self._make_table(side)
        return self._tables[side]

    def _make_table(self, side: int) -> _Table:
        m, _, H, W = self.images.shape
        if side > min(H, W):
            raise PatchError(f"A window of {side} × {side} pixels is larger than the image of {W} × {H}.")
        corners = whole_windows(self._source, side)
        if len(corners) == 0:
            raise PatchError(f"No window of {side} × {side} pixels is fully known; paint a smaller hole.")
        count = m * len(corners)
        if self._candidates is not None and count > self._candidates:
            selected = torch.randperm(count, generator=self._generator)[: self._candidates].sort().values
        else:
            selected = torch.arange(count)
        parts = [windows_at(self.images[k], corners[selected[selected // len(corners) == k] % len(corners)], side) for k in range(m)]
        windows = torch.cat(parts)
        by_place = windows.square().view(len(windows), -1, side * side).sum(1)
        if self._rank is None or self._rank >= windows.shape[1]:
            return _Table(windows, windows.square().sum(1), by_place, None, windows)
        centred = windows - windows.mean(0)
        basis = torch.linalg.eigh(centred.T @ centred)[1][:, -self._rank :]
        keys = windows @ basis
        return _Table(keys, keys.square().sum(1), by_place, basis, windows)


def nearest_patch_distance(images: Tensor, missing: Tensor, side: int, candidates: int, generator: torch.Generator | None = None) -> Tensor:
    """Return how far the windows with filled pixels are from the known windows, ``[n]``, for ``images`` ``[n, C, H, W]``, standardised.

    It is the mean squared difference, per element, of every window with a ``missing`` pixel (bool ``[H, W]``) to the nearest of
    ``candidates`` fully known windows: the coherence of Wexler et al. (2007). Raises PatchError if there is no known window.
    """
    known = whole_windows(missing, side)
    if len(known) == 0:
        raise PatchError(f"No window of {side} × {side} pixels is fully known; paint a smaller hole.")
    known = known[torch.randperm(len(known), generator=generator)[:candidates]]
    touching = functional.max_pool2d(missing[None, None].float(), side, 1)[0, 0].nonzero()
    corners = touching[:, 0] * missing.shape[1] + touching[:, 1]
    size, out = max(1, BLOCK_ELEMENTS // len(known)), []
    for image in images:
        windows, table = windows_at(image, corners, side), windows_at(image, known, side)
        out.append(torch.cat([torch.cdist(part, table).amin(1).square() for part in windows.split(size)]).mean() / windows.shape[1])
    return torch.stack(out)


def windows_at(x: Tensor, corners: Tensor, side: int) -> Tensor:
    """The windows of x ``[C, H, W]`` with these upper left corners (flat), ``[k, C·side²]``."""
    W = x.shape[2]
    inside = (torch.arange(side)[:, None] * W + torch.arange(side)).flatten()
    return x.flatten(1)[:, corners[:, None] + inside].transpose(0, 1).flatten(1)


def whole_windows(missing: Tensor, side: int) -> Tensor:
    """Return the upper left corners (flat, ``[k]``) of the windows without any missing pixel; ``missing`` is bool ``[H, W]``."""
    if side > min(missing.shape):
        return torch.empty(0, dtype=torch.long)
    holes = functional.max_pool2d(missing[None, None].float(), side, 1)[0, 0] > 0
    i, j = (~holes).nonzero(as_tuple=True)
    return i * missing.shape[1] + j
