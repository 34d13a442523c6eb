"""The inverse Ising problem: errors of the couplings and times of the estimators.

1. 16 spins, 20,000 samples, couplings between all pairs: every estimator beside exact maximum likelihood, over several data sets. The time
   of maximum likelihood is that of SciPy's L-BFGS on the sum over all 65,536 states as the definition has it. The program's own
   maximum likelihood, with a better first step and energies of two halves of the spins, is a row of its own.
2. The same errors ÷ exact for couplings of the Sherrington–Kirkpatrick model at several temperatures.
3. 100 fully connected spins (as in PRL 107, 220601), 20,000 samples: the time until the error is that of pseudolikelihood within its
   spread over data sets, beside pseudolikelihood by SciPy's L-BFGS and by the same optimiser as minimum probability flow.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

import torch
from torch import Tensor

from benchmarks._report import footer, table
from dpm_core.lab import minimum_probability_flow as lab
from dpm_core.lab.flow.ising_estimators import ESTIMATORS, estimates
from dpm_core.lab.flow.ising_models import make_ising, sample_by_chains, to_spins

SPINS, SAMPLES, DATA_SETS = 16, 20_000, 5
TEMPERATURES = (0.7, 1.0, 1.5, 2.0, 3.0)
LARGE, TEMPERATURE, LARGE_DATA_SETS = 100, 1.5, 3
NAMES = ("flow", "matched", "all_flip", "outside", "pseudolikelihood", "tap", "mean_field", "likelihood")
Curve = list[tuple[float, float]]  # seconds and errors


def curve(name: str, x: Tensor, error: Callable[[Tensor], float]) -> Curve:
    """The errors of one of the program's estimators over its seconds."""
    return [(one.seconds, error(one.J)) for one in estimates(name, x)]


def scipy_curve(fit: Callable[..., Tensor], x: Tensor, error: Callable[[Tensor], float]) -> Curve:
    """The same for a fit by SciPy's L-BFGS; the errors are computed after it has ended."""
    seen, began = list[tuple[float, Tensor]](), perf_counter()
    fit(x, watch=lambda J: seen.append((perf_counter() - began, J)))
    return [(seconds, error(J)) for seconds, J in seen]


def reached(found: Curve, target: float) -> float | None:
    """The seconds until the error is at most the target and stays there."""
    for i, (seconds, _) in enumerate(found):
        if all(error <= target for _, error in found[i:]):
            return seconds
    return None


def small() -> None:
    """16 spins, strong couplings: J of normal numbers, standard deviation 0.42 beside the diagonal and 0.6 on it."""
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(SPINS, SPINS, generator=generator, dtype=torch.float64)
    J = (J + J.T) / 2 * 0.6

    def error(found: Tensor) -> float:
        return float((found - J).square().mean().sqrt())

    ends: dict[str, list[tuple[float, float]]] = {}
    for _ in range(DATA_SETS):
        x = lab.sample_ising(J, SAMPLES, generator)
        ends.setdefault("maximum likelihood, SciPy", []).append(scipy_curve(lab.fit_by_likelihood, x, error)[-1])
        ends.setdefault("pseudolikelihood, SciPy", []).append(scipy_curve(lab.fit_by_pseudolikelihood, x, error)[-1])
        for name in NAMES:
            ends.setdefault(ESTIMATORS[name].title, []).append(curve(name, x, error)[-1])
    exact = [error_ for _, error_ in ends[ESTIMATORS["likelihood"].title]]
    slow = statistics.median(seconds for seconds, _ in ends["maximum likelihood, SciPy"])
    rows = []
    for name, found in ends.items():
        errors, seconds = [error_ for _, error_ in found], statistics.median(seconds for seconds, _ in found)
        ratios = [a / b for a, b in zip(errors, exact)]
        rows.append(
            [
                name,
                f"{statistics.mean(errors):.4f} ± {statistics.stdev(errors):.4f}",
                f"{statistics.mean(ratios):.3f} ± {statistics.stdev(ratios):.3f}",
                f"{seconds:.3f}",
                f"1/{slow / seconds:.0f}",
            ]
        )
    table([f"{SPINS} spins, {SAMPLES:,} samples, {DATA_SETS} data sets", "error of J", "÷ exact", "s", "of SciPy's exact"], rows)


def by_temperature() -> None:
    """Errors ÷ those of exact maximum likelihood of 16 fully connected spins, means of paired ratios over data sets."""
    i, j = torch.triu_indices(SPINS, SPINS, 1)
    names = ("flow", "matched", "pseudolikelihood")
    rows = []
    for temperature in TEMPERATURES:
        model = make_ising("full", SPINS, temperature)
        ratios: dict[str, list[float]] = {name: [] for name in names}
        for seed in range(DATA_SETS):
            x = sample_by_chains(model.J, SAMPLES, seed=seed)
            ends = {}
            for name in (*names, "likelihood"):
                *_, last = estimates(name, x)
                ends[name] = float((to_spins(last.J)[0] - model.couplings)[i, j].square().mean().sqrt())
            for name in names:
                ratios[name].append(ends[name] / ends["likelihood"])
        rows.append([f"{temperature:g}", *(f"{statistics.mean(r):.3f} ± {statistics.stdev(r):.3f}" for r in ratios.values())])
    table([f"T, {SPINS} spins, fully connected", *(f"{ESTIMATORS[name].short} ÷ exact" for name in names)], rows)


def large() -> None:
    """100 fully connected spins."""
    model = make_ising("full", LARGE, TEMPERATURE)
    i, j = torch.triu_indices(LARGE, LARGE, 1)

    def error(found: Tensor) -> float:
        return float((to_spins(found)[0] - model.couplings)[i, j].square().mean().sqrt())

    found: dict[str, list[Curve]] = {}
    for seed in range(LARGE_DATA_SETS):
        x = sample_by_chains(model.J, SAMPLES, seed=seed)
        found.setdefault("pseudolikelihood, SciPy", []).append(scipy_curve(lab.fit_by_pseudolikelihood, x, error))
        for name in ("pseudolikelihood", "flow", "matched", "mean_field"):
            found.setdefault(ESTIMATORS[name].title, []).append(curve(name, x, error))
    ends = [one[-1][1] for one in found[ESTIMATORS["pseudolikelihood"].title]]
    spread = statistics.stdev(ends)
    print(f"Error of pseudolikelihood: {statistics.mean(ends):.5f} ± {spread:.5f}\n")
    rows = []
    for name, curves in found.items():
        cells = [name, f"{statistics.mean(one[-1][1] for one in curves):.5f}", f"{statistics.mean(one[-1][0] for one in curves):.2f}"]
        for target in ([end + spread for end in ends], [1.02 * end for end in ends]):
            times = [reached(one, at) for one, at in zip(curves, target)]
            known = [t for t in times if t is not None]
            cells.append(f"{statistics.mean(known):.2f}" if len(known) == len(times) else "never")
        rows.append(cells)
    head = f"{LARGE} spins, fully connected, T = {TEMPERATURE}, {SAMPLES:,} samples, {LARGE_DATA_SETS} data sets"
    table([head, "error of K", "s to the end", "s to pseudolikelihood's + spread", "s to 1.02 times pseudolikelihood's"], rows)


def main() -> None:
    torch.set_num_threads(1)
    small()
    by_temperature()
    large()


if __name__ == "__main__":
    main()
    footer()
