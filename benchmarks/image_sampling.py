"""How long 16 digits take: 28 × 28, 50 steps, two threads, with the shipped mnist_unet (else a fresh one of IMAGE_RUN's size).

Against the network's own forward passes alone, fifty on one batch of 16: what no sampler can go below. And against
the peers' DDIM, untrained, in the same number of steps. All take turns; medians, and the median of the
neighbours' ratios. Target: at most 2 s.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from time import perf_counter

import torch

from benchmarks import _image_peers
from benchmarks._image_run import fresh_model, use_threads
from benchmarks._report import footer, table, verdict
from dpm_core.checkpoints import SHIPPED, list_checkpoints, load
from dpm_core.process import LOG_SNR_LIMIT
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import SAMPLERS, timesteps

SAMPLES, SHAPE, TARGET = 16, (1, 28, 28), 2.0  # seconds
CHECKPOINT = "mnist_unet"


def our_model() -> tuple[ReverseModel, str]:
    """The model and where it comes from."""
    path = list_checkpoints([SHIPPED]).get(CHECKPOINT)
    return (load(path).model, CHECKPOINT) if path else (fresh_model(SHAPE).eval().requires_grad_(False), "fresh U-Net")


def sampling(model: ReverseModel, sampler: str, steps: int) -> Callable[[], None]:
    """Draw 16 images."""

    def work() -> None:
        for _ in SAMPLERS[sampler](model, model.diffusion, (SAMPLES, *SHAPE), steps=steps, generator=torch.Generator().manual_seed(0)):
            pass

    return work


def passes(model: ReverseModel, steps: int) -> Callable[[], None]:
    """The network's forward passes alone, at the times that the samplers visit."""
    x = torch.randn(SAMPLES, *SHAPE, generator=torch.Generator().manual_seed(0))
    times = [torch.tensor(t) for t in timesteps(model.diffusion.T, steps)[:-1]]
    conditions = [(t, model.diffusion.schedule.log_snr(t).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT).float()) for t in times]

    @torch.inference_mode()
    def work() -> None:
        for t, log_snr in conditions:
            model.network(x, t, log_snr)

    return work


def timed(work: Callable[[], None]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    work()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description="16 MNIST-shaped samples on two threads.")
    parser.add_argument("--quick", action="store_true", help="only try the script: 5 steps, once")
    quick = parser.parse_args().quick
    steps, repeats = (5, 1) if quick else (50, 9)

    use_threads()
    model, source = our_model()
    works = {"forward passes alone": passes(model, steps)}
    works |= {f"{source}, {title}": sampling(model, name, steps) for name, title in (("ddim", "DDIM"), ("ancestral", "ancestral"))}
    ours = list(works)[1:]
    sizes = dict.fromkeys(works, f"{_image_peers.parameters(model.network):,}")
    missing = []
    for name in _image_peers.PEERS:
        if (peer := _image_peers.load(name)) is None:
            missing.append(name)
            continue
        works[name] = lambda peer=peer: peer.sample(SAMPLES, steps, 0)
        sizes[name] = f"{_image_peers.parameters(peer.network):,}"
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            found[name].append(timed(work))

    limit, ddim = found["forward passes alone"], found[ours[0]]
    rows = []
    for name, times in found.items():
        median = statistics.median(times)
        to_limit, to_ours = (statistics.median(a / b for a, b in zip(times, other)) for other in (limit, ddim))
        mine = name in ours
        target = [f"{median / TARGET:.2f}", verdict(median, TARGET, 0)] if mine else ["", ""]
        rows.append([name, sizes[name], f"{median:.2f}", f"{to_limit:.2f}" if mine else "", f"{to_ours:.2f}", *target])
    rows += [[name, "", "not installed", "", "", "", ""] for name in missing]
    table([f"{SAMPLES} images, {steps} steps", "parameters", "s", "÷ passes", "÷ our DDIM", "÷ target", "target"], rows)
    footer()


if __name__ == "__main__":
    main()
