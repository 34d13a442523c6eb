"""Two peers that train U-Nets on images: *denoising-diffusion-pytorch* (lucidrains) and *diffusers* (Hugging Face).

Each keeps its own network, loss, optimiser and average of weights as its own training script has them, its own
sampler too; batches are handed over ready-made, on the peer's device, which spares both their data loaders. The learning rate is ten
times that of their scripts, which are for days of training: in minutes 1e-4 learns next to nothing.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn
from torch.nn import functional

RATE, CLIP, T = 1e-3, 1.0, 1000
Shape = tuple[int, int, int]  # channels, height and width of square images


class Lucidrains:
    """denoising-diffusion-pytorch: ``Unet(dim=16, dim_mults=(1, 2, 4))``, v-prediction, sigmoid schedule; Trainer's Adam and EMA."""

    name = "denoising-diffusion-pytorch"

    def __init__(self, shape: Shape = (1, 28, 28), device: str = "cpu", seed: int = 0):
        package, ema = _import("denoising_diffusion_pytorch", MagicMock()), importlib.import_module("ema_pytorch")
        torch.manual_seed(seed)  # the peer draws from the global generator
        self.network = package.Unet(dim=16, dim_mults=(1, 2, 4), channels=shape[0])
        self.diffusion = package.GaussianDiffusion(self.network, image_size=shape[1], timesteps=T, sampling_timesteps=50).to(device)
        self.average = ema.EMA(self.diffusion, beta=0.995, update_every=10)
        self.optimiser = torch.optim.Adam(self.diffusion.parameters(), lr=RATE, betas=(0.9, 0.99))
        self.module = sys.modules[package.GaussianDiffusion.__module__]

    def step(self, images: Tensor) -> None:
        """One optimiser step on uint8 images ``[n, C, H, W]``."""
        self.optimiser.zero_grad()
        self.diffusion(images.float() / 255).backward()
        nn.utils.clip_grad_norm_(self.diffusion.parameters(), CLIP)
        self.optimiser.step()
        self.average.update()

    def sample(self, n: int, steps: int, seed: int) -> Tensor:
        """uint8 images ``[n, C, H, W]`` by DDIM."""
        torch.manual_seed(seed)
        model = self.average.ema_model
        model.sampling_timesteps, model.is_ddim_sampling = steps, True
        progress, self.module.tqdm = self.module.tqdm, lambda times, **_: times  # its progress bar
        try:
            return _levels(model.sample(batch_size=n))
        finally:
            self.module.tqdm = progress


class Diffusers:
    """diffusers: ``UNet2DModel`` with 32, 64, 64 channels and attention at 7 × 7, ε-prediction; AdamW and EMA as its script has."""

    name = "diffusers"

    def __init__(self, shape: Shape = (1, 28, 28), device: str = "cpu", seed: int = 0):
        package = _import("diffusers", None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            average = importlib.import_module("diffusers.training_utils").EMAModel
            torch.manual_seed(seed)
            self.network = package.UNet2DModel(
                sample_size=shape[1], in_channels=shape[0], out_channels=shape[0], block_out_channels=(32, 64, 64),
                layers_per_block=1, norm_num_groups=8,
                down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
                up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            ).to(device)  # fmt: skip
            self.noise = package.DDPMScheduler(num_train_timesteps=T)
            self.sampler = package.DDIMScheduler(num_train_timesteps=T)
            self.average = average(self.network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.average.to(device)
        self.shape, self.device = shape, device
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=RATE, betas=(0.95, 0.999), weight_decay=1e-6)

    def step(self, images: Tensor) -> None:
        """One optimiser step on uint8 images ``[n, C, H, W]``."""
        x0 = images.float() / 127.5 - 1
        noise, t = torch.randn_like(x0), torch.randint(0, T, (len(x0),), device=x0.device)
        self.optimiser.zero_grad()
        functional.mse_loss(self.network(self.noise.add_noise(x0, noise, t), t).sample, noise).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        self.average.step(self.network.parameters())

    @torch.inference_mode()
    def sample(self, n: int, steps: int, seed: int) -> Tensor:
        """uint8 images ``[n, C, H, W]`` by DDIM."""
        generator = torch.Generator().manual_seed(seed)
        parameters = list(self.network.parameters())
        self.average.store(parameters)
        self.average.copy_to(parameters)
        try:
            x = torch.randn(n, *self.shape, generator=generator).to(self.device)
            self.sampler.set_timesteps(steps)
            for t in self.sampler.timesteps.to(self.device):
                x = self.sampler.step(self.network(x, t).sample, t, x).prev_sample
        finally:
            self.average.restore(parameters)
        return _levels((x + 1) / 2)


Peer = Lucidrains | Diffusers
# diffusers first: it looks whether torchvision is installed, and takes the other's stand-in for it
PEERS: dict[str, Callable[..., Peer]] = {peer.name: peer for peer in (Diffusers, Lucidrains)}


def load(name: str, shape: Shape = (1, 28, 28), device: str = "cpu") -> Peer | None:
    """A fresh peer for images of this shape, or None when it, or something that it imports, is not installed."""
    try:
        return PEERS[name](shape, device)
    except ImportError:
        return None


def parameters(module: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(p.numel() for p in module.parameters())


def _import(name: str, stand_in: Any) -> Any:
    """A package that asks for torchvision, which its wheel from PyPI refuses beside a torch build for the CPU only.

    Neither peer needs it for tensors: where it does not work, ``stand_in`` takes its place (None: not installed).
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError):
        for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[module]
        sys.modules["torchvision"] = stand_in
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _levels(x: Tensor) -> Tensor:
    return (x * 255).round().clamp(0, 255).to(torch.uint8)
