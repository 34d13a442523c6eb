"""The U-Net of the library diffusers, ``UNet2DModel``: trained here, or imported with its weights."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from dpm_core.networks.registry import network

INSTALL = "pip install -r requirements-diffusers.txt"
PREDICTIONS = ("epsilon", "sample", "v_prediction")
VARIANCES = {"fixed_small": -1e4, "fixed_large": 0.0}  # v, of which the share of Var(x⁽⁰⁾|x⁽ᵗ⁾) is 0 or 1: f_Σ is β̃_t or β_t
OURS = ("sample_size", "in_channels", "out_channels", "class_embed_type", "num_class_embeds", "num_train_timesteps")
MAX_CHANNELS, MAX_BLOCKS, MAX_LAYERS = 2048, 8, 8  # channels of one level, levels, layers in each


def unet_class() -> Any:
    """``diffusers.UNet2DModel``. Raises ValueError, in one sentence, where it is not installed or cannot be loaded."""
    try:
        from diffusers import UNet2DModel
    except ImportError:
        raise ValueError(f"This needs the library diffusers; install it with: {INSTALL}.") from None
    except RuntimeError as error:  # of a torchvision that belongs to another build of torch
        reason = str(error).splitlines()[-1][:120]
        raise ValueError(
            f"The library diffusers cannot be loaded ({reason}); install a torchvision for this torch, or remove it."
        ) from None
    return UNet2DModel


def architecture_settings() -> set[str]:
    """The settings of UNet2DModel that a config may hold, besides those that follow from the data. Raises ValueError as above."""
    names = set(inspect.signature(unet_class().__init__).parameters) - {"self"}
    return names - set(OURS)


_SMALL = (("block_out_channels", (32, 64)), ("down_block_types", ("DownBlock2D",) * 2), ("layers_per_block", 1), ("norm_num_groups", 8))
_PLAIN = (("up_block_types", ("UpBlock2D",) * 2),)
_MEDIUM = (
    ("block_out_channels", (32, 64, 64)),
    ("down_block_types", ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D")),
    ("layers_per_block", 1),
    ("norm_num_groups", 8),
    ("up_block_types", ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D")),
)
_LARGE = (
    ("block_out_channels", (64, 128, 128)),
    ("down_block_types", ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D")),
    ("layers_per_block", 2),
    ("norm_num_groups", 32),
    ("up_block_types", ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D")),
)


@network(
    "unet2d",
    "UNet2DModel (diffusers)",
    ("images",),
    {"small": _SMALL + _PLAIN, "medium": _MEDIUM, "large": _LARGE},
    smallest_side=8,
    labelled=True,
    package="diffusers",
)
class UNet2D(nn.Module):
    """``diffusers.UNet2DModel`` as a network of this program; x ``[n, C, H, W]``, in whatever units the model was trained in.

    ``prediction`` of the model: "epsilon" ε, "sample" x⁽⁰⁾ or "v_prediction" √ᾱ ε − √(1−ᾱ) x⁽⁰⁾ (Salimans & Ho 2022); x̂⁽⁰⁾ follows from it
    and is clipped to ±``clip`` unless that is 0. ``variance`` is not learned: "fixed_small" makes f_Σ = β̃_t, "fixed_large" β_t. All other
    parameters are those of UNet2DModel. ``classes`` of an optional label; the last of its vectors is that of "no label". The step t = 1
    is sampled by the network, as diffusers does. Raises ValueError where diffusers is missing or a parameter is unknown or out of range.
    """

    SAMPLES_FIRST_STEP = True

    def __init__(
        self,
        shape: tuple[int, ...],
        T: int,
        prediction: str = "epsilon",
        variance: str = "fixed_small",
        clip: float = 0.0,
        classes: int = 0,
        **architecture: Any,
    ):
        super().__init__()
        make = unet_class()
        if len(shape) != 3:
            raise ValueError(f"UNet2DModel is for images, and the data have the shape {shape}; use the MLP for points.")
        if prediction not in PREDICTIONS or variance not in VARIANCES:
            wanted = f"{', '.join(PREDICTIONS)}, and the variance one of {', '.join(VARIANCES)}"
            raise ValueError(f"The prediction must be one of {wanted}, not {prediction!r} and {variance!r}.")
        if unknown := sorted(set(architecture) - architecture_settings()):
            raise ValueError(f"UNet2DModel has no setting {unknown[0]!r}; remove it from the configuration.")
        blocks = architecture.get("block_out_channels", (224, 448, 672, 896))
        if not isinstance(blocks, tuple) or not 1 <= len(blocks) <= MAX_BLOCKS or not all(_whole(c) and c <= MAX_CHANNELS for c in blocks):
            raise ValueError(f"UNet2DModel cannot have the channels {blocks}; give up to {MAX_BLOCKS} numbers up to {MAX_CHANNELS:,}.")
        layers = architecture.get("layers_per_block", 2)
        if not _whole(layers) or layers > MAX_LAYERS:
            raise ValueError(f"UNet2DModel cannot have {layers!r} layers in a block; give 1 to {MAX_LAYERS}.")
        given = {key: list(value) if isinstance(value, tuple) else value for key, value in architecture.items()}
        try:
            self.unet = make(
                sample_size=shape[1:] if shape[1] != shape[2] else shape[1],
                in_channels=shape[0],
                out_channels=shape[0],
                num_class_embeds=classes + 1 if classes else None,
                **given,
            )
        except Exception as error:  # the library has no errors of its own: whatever a wrong setting runs into
            reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
            raise ValueError(f"UNet2DModel cannot be built from this configuration: {reason}.") from None
        self.prediction, self.fixed_v, self.clip, self.classes = prediction, VARIANCES[variance], float(clip), classes

    def forward(self, x: Tensor, t: Tensor, log_snr: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(F, v), each shaped as x. Time t here is t − 1 there; a missing label is the last one."""
        times = (t - 1).clamp(min=0).expand(len(x))
        labels = None
        if self.classes:
            labels = torch.full((len(x),), self.classes, device=x.device) if label is None else label.reshape(-1).expand(len(x))
        out = self.unet(x, times, class_labels=labels).sample.to(x.dtype)
        signal, noise = (torch.sigmoid(s * log_snr.double()).sqrt().to(x).reshape(-1, 1, 1, 1) for s in (1, -1))
        x0 = {
            "epsilon": lambda: (x - noise * out) / signal,
            "sample": lambda: out,
            "v_prediction": lambda: signal * x - noise * out,
        }[self.prediction]()
        if self.clip:
            x0 = x0.clamp(-self.clip, self.clip)
        F = (x0 - signal * x) / noise
        return F, torch.full_like(F, self.fixed_v)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
