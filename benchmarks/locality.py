"""How much of a U-Net's samples a local kernel explains: r² per image, from the same noise (Kamb and Ganguli 2024).

The patches are fitted to the network at ten times on four held-out images; then DDIM takes 20 steps from the same noise with the network,
the local kernel and the exact kernel of the same training images. ``--images`` of the training set are used, at most.
"""

from __future__ import annotations

import argparse
from time import perf_counter

import torch

from benchmarks._report import footer, table
from dpm_core import checkpoints
from dpm_core.data import sources
from dpm_core.inpainting.patches import LocalPatchReverse
from dpm_core.measure.locality import fit_sides, sides_for, squared_correlation
from dpm_core.reverse import EmpiricalReverse, LocalReverse, ReverseKernel
from dpm_core.samplers import ddim

STEPS, FITTED, HELD_OUT = 20, 10, 4
MODELS = {"digits_unet": 1438, "mnist_unet": 10_000}


def measured(name: str, images: int, shift: int, n: int) -> list[str]:
    """A row of the table: medians and quartiles of r² for both kernels, the fitted sides, and the seconds that it took."""
    began = perf_counter()
    loaded = checkpoints.load(name)
    data, diffusion, model = sources.of_checkpoint(loaded.dataset, loaded.config.data), loaded.diffusion, loaded.model
    training = data.different(images)
    times = [max(1, round(diffusion.T * (i + 1) / FITTED)) for i in range(FITTED)]
    held_out = data.sample_held_out(HELD_OUT, torch.Generator().manual_seed(51))

    def local(sides: dict[int, int]) -> ReverseKernel:
        if shift < 0:
            return LocalPatchReverse(training, diffusion, patch=lambda t: sides[min(sides, key=lambda known: abs(known - t))])
        return LocalReverse(training, diffusion, sides, shift)

    offered = sides_for(data.shape[1:], inside=shift < 0)
    fitted = fit_sides(model, diffusion, local, held_out, times, offered, torch.Generator().manual_seed(52))
    sides = {t: side for t, side, _ in fitted}
    kernels = (model, local(sides), EmpiricalReverse(training, diffusion))
    x_T = torch.randn(n, *data.shape, generator=torch.Generator().manual_seed(7))
    ends = []
    for kernel in kernels:
        *_, (_, x) = ddim(kernel, diffusion, x_T, steps=STEPS)
        ends.append(x)
    cells = []
    for other in ends[1:]:
        low, median, high = squared_correlation(ends[0], other).quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
        cells.append(f"{median:.2f} ({low:.2f} to {high:.2f})")
    patches = ", ".join(str(sides[t]) for t in times)
    return [name, f"{len(training):,}", str(shift) if shift >= 0 else "anywhere", str(n), *cells, patches, f"{perf_counter() - began:.0f}"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Squared correlation of a network's samples with those of a local kernel.")
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="checkpoints of images (default digits_unet and mnist_unet)")
    parser.add_argument("--images", type=int, help="training images of the kernels (default: those of the digits, 10,000 of MNIST)")
    parser.add_argument("--shift", type=int, default=0, help="pixels by which a patch may have moved (default 0; −1: anywhere)")
    parser.add_argument("-n", type=int, default=64, help="samples (default 64)")
    args = parser.parse_args(argv)
    rows = [measured(name, args.images or MODELS.get(name, 1000), args.shift, args.n) for name in args.models]
    table(["model", "images", "shift", "n", "r² local kernel", "r² exact kernel", "sides, t = T/10 … T", "s"], rows)
    footer("")


if __name__ == "__main__":
    main()
