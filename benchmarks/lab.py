"""The neighbours of diffusion models: learning the Ising model, sampling with look-ahead HMC, the sum-of-functions optimiser.

1. Minimum probability flow beside exact maximum likelihood and pseudolikelihood: 16 spins, 20,000 samples, root mean square error of J.
2. Autocorrelation of look-ahead HMC and of standard HMC after equal numbers of gradients, on the targets of the paper's figure 2.
3. Effective passes through the data until logistic regression of the digits is within 1e-3 of its optimum; for SGD and Adam the best of
   ten step sizes.
4. Time of a phase diagram of 24 × 24 points.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from benchmarks._report import footer, table
from dpm_core.lab import hamiltonian, minimum_probability_flow, random_networks
from dpm_core.lab.sum_of_functions import SFO

SPINS, SAMPLES = 16, 20_000
CHAINS, STEPS, LAG = 100, 3000, 2000  # of HMC; gradients per chain after which the autocorrelation is compared
BATCHES, PASSES, CLOSE = 30, 100, 1e-3
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def ising() -> None:
    """Errors and times of three estimators."""
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(SPINS, SPINS, generator=generator, dtype=torch.float64)
    J = (J + J.T) / 2 * 0.6
    x = minimum_probability_flow.sample_ising(J, SAMPLES, generator)
    rows, exact = [], {}
    for name, fit in (
        ("maximum likelihood, all states", minimum_probability_flow.fit_by_likelihood),
        ("minimum probability flow", minimum_probability_flow.fit_ising),
        ("pseudolikelihood", minimum_probability_flow.fit_by_pseudolikelihood),
    ):
        began = perf_counter()
        found = fit(x)
        seconds, error = perf_counter() - began, float((found - J).square().mean().sqrt())
        exact = exact or {"seconds": seconds, "error": error}
        rows.append([name, f"{error:.4f}", f"{error / exact['error']:.2f}", f"{seconds:.2f}", f"1/{exact['seconds'] / seconds:.0f}"])
    table([f"{SPINS} spins, {SAMPLES:,} samples", "error of J", "÷ exact", "s", "of the time"], rows)


def autocorrelation_at(energy: hamiltonian.Energy, x: Tensor, look_ahead: int) -> float:
    """The autocorrelation after LAG gradients per chain."""
    run = hamiltonian.moves(
        energy, x, step_size=1.0, leapfrog_steps=10, look_ahead=look_ahead, corruption=0.1, generator=torch.Generator().manual_seed(1)
    )
    states, gradients = [], 0.0
    for _, move in zip(range(STEPS), run):
        states.append(move.x)
        gradients += float(move.gradients.double().mean())
    lag = round(LAG / (gradients / STEPS))
    return float(hamiltonian.autocorrelation(torch.stack(states), lag + 1)[lag])


def samplers() -> None:
    """Both samplers on the paper's targets."""
    generator, rows = torch.Generator().manual_seed(0), []
    targets: dict[str, tuple[hamiltonian.Energy, Tensor]] = {"rough well": (hamiltonian.rough_well, torch.full((2,), 1e4).double())}
    targets |= {f"Gaussian, {d} dimensions": hamiltonian.ill_conditioned_gaussian(d) for d in (2, 100)}
    for name, (energy, variances) in targets.items():
        x = torch.randn(CHAINS, len(variances), generator=generator, dtype=torch.float64) * variances.sqrt()
        rows.append([name, *(f"{autocorrelation_at(energy, x, look_ahead):.3f}" for look_ahead in (1, 4))])
    table([f"autocorrelation after {LAG:,} gradients", "HMC", "look-ahead HMC, 4"], rows)


def passes_until_close(step: Callable[[Tensor, list], Callable[[], None]], parts: list, best: float) -> int | None:
    """Passes until the objective is within CLOSE of its optimum; None if it is not within PASSES."""
    w = torch.zeros(65, 10, dtype=torch.float64, requires_grad=True)
    one_pass = step(w, parts)
    for count in range(1, PASSES + 1):
        one_pass()
        if float(sum(_loss(w.detach(), part) for part in parts)) - best < CLOSE:
            return count
    return None


def _loss(w: Tensor, part: tuple[Tensor, Tensor]) -> Tensor:
    entropy = torch.nn.functional.cross_entropy(part[0] @ w, part[1], reduction="sum")
    return entropy / 1797 + 1e-3 * w.square().sum() / BATCHES


def _sfo(w: Tensor, parts: list) -> Callable[[], None]:
    optimiser = SFO([w], [lambda part=part: _loss(w, part) for part in parts])

    def one_pass() -> None:
        for _ in parts:
            optimiser.step()

    return one_pass


def _first_order(make: Callable[[Tensor], torch.optim.Optimizer]) -> Callable[[Tensor, list], Callable[[], None]]:
    def step(w: Tensor, parts: list) -> Callable[[], None]:
        optimiser = make(w)

        def one_pass() -> None:
            for part in parts:
                optimiser.zero_grad()
                (len(parts) * _loss(w, part)).backward()
                optimiser.step()

        return one_pass

    return step


def _lbfgs(parts: list, best: float) -> int | None:
    """Evaluations of the whole objective by L-BFGS until it is close: each is a pass."""
    w, seen = torch.zeros(65, 10, dtype=torch.float64, requires_grad=True), list[float]()
    optimiser = torch.optim.LBFGS([w], max_iter=PASSES, history_size=20, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = torch.stack([_loss(w, part) for part in parts]).sum()
        total.backward()
        seen.append(float(total))
        return total

    optimiser.step(closure)
    return next((i for i, value in enumerate(seen, 1) if value - best < CLOSE), None)


def optimisers() -> None:
    """Passes through the data of four optimisers."""
    digits = load_digits()
    x = torch.cat([torch.tensor(digits.data / 16), torch.ones(len(digits.data), 1, dtype=torch.float64)], 1)
    y = torch.tensor(digits.target)
    parts = [(x[i::BATCHES], y[i::BATCHES]) for i in range(BATCHES)]
    w = torch.zeros(65, 10, dtype=torch.float64, requires_grad=True)
    accurate = torch.optim.LBFGS(
        [w], max_iter=3000, tolerance_grad=1e-12, tolerance_change=1e-15, history_size=50, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        accurate.zero_grad()
        total = torch.stack([_loss(w, part) for part in parts]).sum()
        total.backward()
        return total

    accurate.step(closure)
    best = float(closure().detach())
    rows = [["SFO", "none", str(passes_until_close(_sfo, parts, best))], ["L-BFGS, all data", "line search", str(_lbfgs(parts, best))]]
    makers: dict[str, Callable[[float], Callable[[Tensor], torch.optim.Optimizer]]] = {
        "SGD with momentum 0.9": lambda rate: lambda w: torch.optim.SGD([w], lr=rate, momentum=0.9),
        "Adam": lambda rate: lambda w: torch.optim.Adam([w], lr=rate),
    }
    for name, make in makers.items():
        found = {rate: passes_until_close(_first_order(make(rate)), parts, best) for rate in RATES}
        reached = {rate: count for rate, count in found.items() if count is not None}
        rate = min(reached, key=reached.__getitem__, default=None)
        rows.append([name, "" if rate is None else f"{rate:g}", f"over {PASSES}" if rate is None else str(reached[rate])])
    table(["optimiser", "step size", f"passes to within {CLOSE:g}"], rows)


def diagram() -> None:
    """The time of the phase diagram."""
    w, b = torch.meshgrid(torch.linspace(0.5, 4, 24), torch.linspace(0, 0.3, 24), indexing="ij")
    began = perf_counter()
    random_networks.fixed_points("tanh", w, b)
    print(f"phase diagram of 24 × 24 points: {perf_counter() - began:.2f} s (target 0.5)\n")


def main() -> None:
    torch.set_num_threads(1)
    ising()
    samplers()
    optimisers()
    diagram()
    footer()


if __name__ == "__main__":
    main()
