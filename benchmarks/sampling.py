"""How close sampling comes to the matrix products it cannot do without.

5,000 particles × 40 ancestral steps through the default MLP, against those products alone: the same shapes in
the same order into preallocated outputs. The two alternate; medians and the median of the pairs' ratios.
Target: at most 1.7 on one thread, where training and sampling run.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from benchmarks._report import footer, table, verdict
from dpm_core.config import NetworkConfig
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

PARTICLES, T, REPEATS, TARGET = 5000, 40, 31, 1.7


def products(model: ReverseModel, n: int) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(left, right, output) of every matrix product of one step, in order."""
    net = model.network
    weights = [
        (1, net.condition[0].weight.T),
        (1, net.condition[2].weight.T),
        (n, net.frequencies),
        (n, net.inputs.weight.T),
        *[(n, block.weight.T) for block in net.blocks],
        (n, net.outputs.weight.T),
    ]
    return [(torch.randn(rows, w.shape[0]), w.detach(), torch.empty(rows, w.shape[1])) for rows, w in weights]


def measure(model: ReverseModel) -> tuple[float, float, float]:
    """Median seconds of sampling and of the products alone, and the median ratio of neighbouring pairs."""
    triples = products(model, PARTICLES)
    x_T = torch.randn(PARTICLES, 2, generator=torch.Generator().manual_seed(0))

    def sample() -> None:
        for _ in ancestral(model, model.diffusion, x_T, generator=torch.Generator().manual_seed(1)):
            pass

    @torch.inference_mode()
    def multiply() -> None:
        for _ in range(T):
            for left, right, out in triples:
                torch.mm(left, right, out=out)

    pairs = []
    sample(), multiply()
    for _ in range(REPEATS):
        pairs.append((timed(sample), timed(multiply)))
    ours, limit = zip(*pairs)
    return statistics.median(ours), statistics.median(limit), statistics.median(a / b for a, b in pairs)


def timed(work: Callable[[], None]) -> float:
    """Seconds of one call."""
    start = perf_counter()
    work()
    return perf_counter() - start


def main() -> None:
    model = build_model(NetworkConfig(), GaussianDiffusion(make_schedule("log_snr", T)))
    rows = []
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        ours, limit, ratio = measure(model)
        target = verdict(ratio, TARGET, 1) if threads == 1 else ""
        rows.append([f"{threads}", f"{ours * 1e3:.0f}", f"{limit * 1e3:.0f}", f"{ratio:.2f}", target])
    table(["threads", "sampling, ms", "products alone, ms", "ratio", "target"], rows)
    footer()


if __name__ == "__main__":
    main()
