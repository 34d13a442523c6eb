"""The neighbours of diffusion models: learning the Ising model, sampling with look-ahead HMC, the sum-of-functions optimiser.

1. The inverse Ising problem: see benchmarks/lab_ising.py.
2. Autocorrelation of look-ahead HMC and of standard HMC after equal numbers of gradients, on the targets of the paper's figure 2.
3. Effective passes through the digits until the loss of logistic regression, and of a small autoencoder, stays within a distance of its
   minimum: SFO, and L-BFGS, SGD and Adam with the best of ten settings.
4. Time of a phase diagram of 24 × 24 points.
"""

from __future__ import annotations

from time import perf_counter

import torch

from benchmarks import lab_ising
from benchmarks._report import footer, table
from dpm_core.lab import random_networks
from dpm_core.lab.chains import look_ahead_figure
from dpm_core.lab.optimiser import digits_comparison
from dpm_core.lab.optimiser.optimiser_comparison import TITLES as OPTIMISERS
from dpm_core.lab.optimiser.optimiser_comparison import best_of

GRADIENTS, READ_AT = 36_000, 2000  # of HMC, per chain; after how many of them the autocorrelation is compared
PASSES, CLOSE = 100, (0.1, 0.01, 0.001)  # of the optimisers


def samplers() -> None:
    """Both samplers on the paper's targets."""
    found = list(look_ahead_figure.figure(GRADIENTS))
    rows = []
    for target in look_ahead_figure.DIMENSIONS:
        cells = ["{:.3f} ± {:.3f}".format(*one.at(READ_AT)) for one in found if one.target == target]
        rows.append([target, *cells])
    table([f"autocorrelation after {READ_AT:,} gradients", "look-ahead HMC, 4", "HMC"], rows)


def optimisers() -> None:
    """Passes through the digits of four optimisers, each with its best setting."""
    for name, title in digits_comparison.TITLES.items():
        found = {progress.name: progress.curves for progress in digits_comparison.compare(name, PASSES)}
        minimum, rows = digits_comparison.lowest(name, found), []
        for way, curves in found.items():
            best = best_of(curves, minimum + CLOSE[-1])
            passes = [best.passes_to(minimum + level, digits_comparison.BATCHES) for level in CLOSE]
            setting = "none" if best.setting is None else f"{best.setting:g}"
            reached = [f"over {PASSES}" if count is None else f"{count:.0f}" for count in passes]
            rows.append([OPTIMISERS[way], setting, *reached, f"{float(best.loss[-1]) - minimum:.2g}"])
        table([title, "setting", *(f"passes to {level:g}" for level in CLOSE), f"after {PASSES}"], rows)


def diagram() -> None:
    """The time of the phase diagram."""
    w, b = torch.meshgrid(torch.linspace(0.5, 4, 24), torch.linspace(0, 0.3, 24), indexing="ij")
    began = perf_counter()
    random_networks.fixed_points("tanh", w, b)
    print(f"phase diagram of 24 × 24 points: {perf_counter() - began:.2f} s (target 0.5)\n")


def main() -> None:
    torch.set_num_threads(1)
    lab_ising.main()
    samplers()
    optimisers()
    diagram()
    footer()


if __name__ == "__main__":
    main()
