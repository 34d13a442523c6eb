"""Filling the hole of a picture with a trained model: what all ways of filling share, and this one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import RunConfig
from dpm_core.data.bits import BitSpec
from dpm_core.data.images import ImageSpec
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.posterior import Inpaint, repaint_times
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import timesteps, walk
from dpm_core.schedules import Time

RULES = ("noised", "clean", "repaint")
TRAINED_ON_CROPS = ("brick", "grass", "gravel", "textures", "image", "dead_leaves")  # sets whose models saw cuts, and take any size
MARGIN = 48  # pixels around a hole that are worked on, at least; as many as the hole is wide where that is more


class InpaintingError(ValueError):
    """A mask that asks for nothing, for everything, or is not of the picture's size; a model for other pictures."""


class Progress(NamedTuple):
    """What there is so far: the share of the work done, the pictures x̂⁽⁰⁾ and x⁽ᵗ⁾, uint8 ``[n, H, W]`` or ``[n, H, W, 3]``.

    ``calls`` counts how often the kernel was asked. At share 1 both pictures are the completions.
    """

    share: float
    guess: np.ndarray
    state: np.ndarray
    calls: int


class InstrumentedModel(ReverseModel):
    """A model that remembers the mean it said last, and counts how often it was asked."""

    def __init__(self, model: ReverseModel):
        super().__init__(model.network, model.diffusion)
        self.precision, self.calls, self.last_x0_mean = model.precision, 0, torch.empty(0)

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        self.calls += 1
        mean, variance = super().x0_posterior(xt, t)
        self.last_x0_mean = mean
        return mean, variance


def check_mask(picture: np.ndarray, missing: np.ndarray) -> None:
    """Raises InpaintingError, in one sentence, unless ``missing``, bool ``[H, W]``, is some but not all of the picture."""
    if missing.shape != picture.shape[:2]:
        raise InpaintingError(
            f"The mask has {missing.shape[1]} × {missing.shape[0]} pixels, the picture {picture.shape[1]} × {picture.shape[0]}."
        )
    if not missing.any():
        raise InpaintingError("Nothing is painted; paint what is to be filled.")
    if missing.all():
        raise InpaintingError("All of the picture is painted; leave some of it to go by.")


def incompatibility(run: RunConfig, shape: tuple[int, ...], picture: np.ndarray) -> str:
    """Why a model of images ``(C, H, W)`` that came from such a run cannot fill this picture, in one sentence; empty where it can.

    U-Nets that learned from cuts are convolutions all the way, so they take any picture that is large enough.
    """
    channels, height, width = shape
    own = 3 if picture.ndim == 3 else 1
    if own != channels:
        return f"It makes {'colour' if channels == 3 else 'grey'} pictures, and this one is {'in colour' if own == 3 else 'grey'}."
    anywhere = run.data.name in TRAINED_ON_CROPS and run.network.name == "unet" and not dict(run.network.params).get("attention")
    if anywhere and picture.shape[0] >= height and picture.shape[1] >= width:
        return ""
    if picture.shape[:2] != (height, width):
        return f"It is for {width} × {height} pixels, and this picture has {picture.shape[1]} × {picture.shape[0]}."
    return ""


def compatible_spec(loaded: Checkpoint, picture: np.ndarray) -> ImageSpec | BitSpec:
    """What the model knows of its images. Raises InpaintingError, in one sentence, where it cannot fill this picture."""
    spec = loaded.dataset
    if isinstance(spec, PlaneDataset) or len(spec.shape) != 3:
        made = "points in the plane" if isinstance(spec, PlaneDataset) else "sequences of bits"
        raise InpaintingError(f"{loaded.name} makes {made}; choose a model of images.")
    if why := incompatibility(loaded.config, spec.shape, picture):
        raise InpaintingError(f"{loaded.name} does not fit. {why}")
    return spec


def fill_by_model(
    loaded: Checkpoint,
    picture: np.ndarray,
    missing: np.ndarray,
    n: int = 1,
    seed: int = 0,
    *,
    steps: int = 50,
    rule: str = "noised",
    jump: int = 5,
    resamplings: int = 4,
    device: str = "cpu",
) -> Iterator[Progress]:
    """n completions of a picture, uint8 ``[H, W]`` or ``[H, W, 3]``, where ``missing``, bool ``[H, W]``, is True.

    ``rule``: what is known is, at every t, "clean" (the paper's code), "noised" to level t, or that with RePaint's
    resampling ("repaint": ``jump``, ``resamplings``). The last Progress has all known pixels unchanged; the same seed gives
    the same pictures. Raises InpaintingError where the mask or the model does not fit.
    """
    check_mask(picture, missing)
    spec = compatible_spec(loaded, picture)
    if rule not in RULES:
        raise InpaintingError(f"The rule is one of {', '.join(RULES)}, not {rule!r}.")
    window = crop_window(missing, spec)
    hole = torch.from_numpy(missing[window])
    pixels = torch.from_numpy(np.ascontiguousarray(picture[window])).reshape(*hole.shape, -1).permute(2, 0, 1)
    known = spec.standardise(pixels[None])[0].to(device)
    diffusion, generator = loaded.diffusion, torch.Generator(device).manual_seed(seed)
    model = InstrumentedModel(loaded.model.to(device))
    factor = Inpaint(hole.to(device), known, None if rule == "clean" else diffusion)
    steps = min(steps, diffusion.T)
    times = repaint_times(diffusion.T, steps, jump, resamplings) if rule == "repaint" else timesteps(diffusion.T, steps)
    x_T = diffusion.start((n, *known.shape), generator)
    for k, (t, x) in enumerate(walk(model, diffusion, x_T, times, factor=factor, generator=generator)):
        if k and t < times[k - 1]:
            guess = model.last_x0_mean if t else x
            shown = [paste_into(picture, missing, window, spec.pixels(v.cpu()).permute(0, 2, 3, 1).numpy()) for v in (guess, x)]
            yield Progress(k / (len(times) - 1), shown[0], shown[1], model.calls)


def crop_window(missing: np.ndarray, spec: ImageSpec | BitSpec | None) -> tuple[slice, slice]:
    """Rows and columns that are worked on: what a model of such pictures needs, without one the hole's neighbourhood."""
    if spec is None:
        return neighbourhood(missing)
    whole = missing.shape == spec.shape[1:]
    return (slice(None), slice(None)) if whole else neighbourhood(missing, min(spec.shape[1:]))


def neighbourhood(missing: np.ndarray, least: int = 1) -> tuple[slice, slice]:
    """Rows and columns around the hole that are worked on, at least ``least`` of each."""
    slices = []
    for axis in (1, 0):
        where = np.flatnonzero(missing.any(axis))
        low, high, length = int(where[0]), int(where[-1]) + 1, missing.shape[1 - axis]
        margin = max(MARGIN, high - low, -(-(least - (high - low)) // 2))
        slices.append(slice(max(0, low - margin), min(length, high + margin)))
    return slices[0], slices[1]


def paste_into(picture: np.ndarray, missing: np.ndarray, window: tuple[slice, slice], new: np.ndarray) -> np.ndarray:
    """The picture n times, its missing pixels from ``new``, uint8 ``[n, h, w, C]``, which covers the window."""
    out = np.repeat(picture[None], len(new), 0)
    hole = missing[window]
    for one, filled in zip(out, new.reshape(len(new), *picture[window].shape)):
        one[window][hole] = filled[hole]
    return out
