"""K of a network whose schedule is fixed, learned before it, or learned together with it: the swiss roll, 1,500 steps of the MLP each.

Gains are paired over the same 4,000 test points and noise. The last column is the gain of learning both over learning the schedule first.
"""

from __future__ import annotations

import argparse
from time import perf_counter

from benchmarks._report import footer, table
from benchmarks._roll import ROLL
from dpm_core.config import NetworkConfig
from dpm_core.training.schedule_comparison import FORMS, compare_ways, paired_gain

LENGTHS = (5, 10, 20, 40)


def row(T: int, form: str, steps: int, seed: int) -> list[str]:
    """One comparison."""
    began = perf_counter()
    stages = compare_ways(ROLL, T, form, NetworkConfig("mlp"), steps, seed)
    bits = {stage.way: stage.bits for stage in stages if stage.bits is not None}
    means = [f"{float(values.mean()):.3f}" for values in bits.values()]
    gains = [paired_gain(bits["joint"], bits[way]) for way in ("fixed", "alternating")]
    cells = [f"{gain:+.3f} ± {error:.3f}" for gain, error in gains]
    return [str(T), FORMS[form], str(seed), *means, *cells, f"{perf_counter() - began:.0f}"]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Gain in K of learning the schedule together with the network.")
    parser.add_argument("--steps", type=int, default=1500, help="optimiser steps of each training (default 1500)")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (default 1)")
    args = parser.parse_args(argv)
    rows = [row(T, form, args.steps, seed) for T in LENGTHS for form in FORMS for seed in range(args.seeds)]
    table(["T", "form", "seed", "K fixed", "K alternating", "K joint", "joint − fixed", "joint − alternating", "s"], rows)
    footer()


if __name__ == "__main__":
    main()
