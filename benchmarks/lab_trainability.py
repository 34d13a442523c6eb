"""Which depths can be trained: networks on digits over weight variance and depth, beside 6 ξ_c (Schoenholz et al. 2017, figure 5).

For every number of steps: accuracy on the training digits, mean over the cells with a depth up to 6 ξ_c and over those beyond it; the
share of cells that the rule sorts rightly, where a cell counts as trained above an accuracy of one half; and the multiple of ξ_c that
sorts most cells rightly. Seconds are those of one processor core
for the whole grid and so many steps, all networks of one depth at once; the page uses two cores.

Then how far the means of 20 networks of width 1,000 are from the theory, in standard errors.
"""

from __future__ import annotations

from time import process_time

import numpy as np
import torch

from benchmarks._report import footer, table
from dpm_core.lab.signals.phase_diagram import trainable_depths
from dpm_core.lab.signals.random_network_simulation import RandomNetwork, mean_and_error, measure, theory
from dpm_core.lab.signals.trainability import DEPTHS, STAGES, Results, Setting, train_depth

TRAINED = 0.5  # accuracy above which a network counts as trained
SEED = 7  # as the page opens


def grid() -> None:
    """Train the default grid and compare it with the rule."""
    setting, results, seconds = Setting(seed=SEED), Results(), dict.fromkeys(STAGES, 0.0)
    for depth in setting.depths:
        began = process_time()
        for row in train_depth(setting, depth, max(STAGES)):
            if results.add(row):
                seconds[row.step] += process_time() - began
    scale = trainable_depths(setting.activation, setting.sigma_w2, setting.sigma_b2) / 6
    depths = np.array(DEPTHS)[:, None]
    rows = []
    for steps in STAGES:
        accuracy = np.array([results.rows[depth, steps].accuracy for depth in DEPTHS])
        within = depths <= 6 * scale
        trained = accuracy > TRAINED
        right = {k: float(((depths <= k * scale) == trained).mean()) for k in np.arange(1, 15.1, 0.5)}
        best = max(right, key=right.__getitem__)
        rows.append(
            [
                f"{steps:,}", f"{100 * accuracy[within].mean():.0f} %", f"{100 * accuracy[~within].mean():.0f} %",
                f"{100 * float((within == trained).mean()):.0f} %", f"{best:g} ({100 * right[best]:.0f} %)", f"{seconds[steps]:.0f}",
            ]
        )  # fmt: skip
        print(f"accuracy after {steps:,} steps, percent; rows: depths {DEPTHS}, columns: σ_w² from 1 to 4")
        for depth, line in zip(DEPTHS, accuracy):
            print(f"{depth:4d} ", *(f"{100 * value:4.0f}" for value in line))
    print("6 ξ_c", *(f"{6 * value:4.0f}" for value in scale), "\n")
    table(["steps", "accuracy, depth ≤ 6 ξ_c", "beyond", "sorted rightly by 6 ξ_c", "best multiple of ξ_c", "s, one core"], rows)


def width_1000() -> None:
    """The largest distance from the theory over 20 layers, in standard errors."""
    rows = []
    for sigma_w2 in (1.3, 1.76, 2.5):
        network = RandomNetwork("tanh", sigma_w2, 0.05, 20, 1000)
        *_, (_, found) = measure(network, seed=3)
        expected, growth = theory(network), theory(network).growth
        pairs = {"q": (found.q, expected.q), "c": (found.c, expected.c), "forward": (found.forward, growth)}
        pairs["backward"] = (found.backward, growth[-1] / growth)
        cells = []
        for values, wanted in pairs.values():
            mean, error = mean_and_error(values)
            inside = error > 1e-6  # what is fixed at the start has no error
            cells.append(f"{float((np.abs(mean - wanted)[inside] / error[inside]).max()):.1f}")
        rows.append([f"{sigma_w2:g}", *cells])
    table(["σ_w², width 1,000, 20 layers", "q", "c", "perturbation", "gradient"], rows)


def main() -> None:
    torch.set_num_threads(1)
    grid()
    width_1000()
    footer()


if __name__ == "__main__":
    main()
