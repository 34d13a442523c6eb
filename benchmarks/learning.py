"""How much is learned per second: the swiss roll, 8,000 points of unit variance, noise 0.03, one CPU thread.

First table: sliced W₂ between 5,000 samples and as many fresh draws of the data, mean ± sd over five sampling
seeds, against the floor between two draws. Each model trains three times, on three draws of 8,000 points; the
run of median W₂ is shown, and the range of all three. "Its 8,000 points" are 5,000 of the very points trained
on: what a learner that knew nothing beyond them would reach. Seconds are wall-clock inside the training loop
alone; the share of a core that the process had is printed, because on a busy machine fewer steps fit.
Target: 0.040 or less after 3 s, and less than the peer after the same time.

Second table: K in bits against the best diagonal Gaussian chain of the same schedule on the same draws, with
standard errors; the gap's is that of the paired difference. Target: a gap of at most 0.15 bits after 10 s.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter, process_time

import torch
from torch import Tensor

from benchmarks import _smalldiffusion
from benchmarks._report import footer, spread, table, verdict
from benchmarks._roll import POINTS, ROLL, Run, diffusion, generator, points, train
from dpm_core.config import NetworkConfig, ScheduleConfig
from dpm_core.measure.bound import NATS_PER_BIT, bound_terms, evaluate_bound
from dpm_core.measure.distances import sliced_wasserstein
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import ancestral

SAMPLES, SEEDS, RUNS, FLOOR_PAIRS, HELD_OUT = 5000, 5, 3, 20, 8000
MLP = (NetworkConfig("mlp"), ScheduleConfig("log_snr", 40))
RBF = (NetworkConfig("rbf"), ScheduleConfig("paper", 40, (("beta_1", 1e-3),)))


def distances(sample: Callable[[int], Tensor]) -> list[float]:
    """Sliced W₂ of ``sample(seed)`` to fresh data, one per sampling seed."""
    return [sliced_wasserstein(sample(i), ROLL.sample(SAMPLES, generator(1000 + i))) for i in range(SEEDS)]


def drawn(model, seed: int) -> Tensor:
    """5,000 samples of a reverse kernel."""
    *_, last = ancestral(model, model.diffusion, (SAMPLES, 2), generator=generator(seed))
    return last.x


def distance_rows(name: str, seconds: float, make: Callable[[int], tuple[Callable[[int], Tensor], int]], floor: float):
    """The median of three training runs as a table row."""
    runs = []
    for seed in range(RUNS):
        sample, steps = make(seed)
        values = distances(sample)
        runs.append((statistics.mean(values), values, steps))
    runs.sort()
    value, values, steps = runs[RUNS // 2]
    limit = verdict(value, 0.040, 3) if (name, seconds) == ("MLP", 3) else ""
    effort = [f"{seconds:g}", f"{steps:,}"] if steps else ["", ""]
    between = f"{runs[0][0]:.4f}–{runs[-1][0]:.4f}"
    return [name, *effort, spread(values), between, f"{value / floor:.2f}", limit]


def bound_row(name: str, seconds: float, run: Run, model: ReverseModel) -> list[str]:
    """K of a model beside that of the exact moments, as a table row."""
    q, x0 = diffusion(run[1]), ROLL.sample(HELD_OUT, generator(2000))
    exact = ROLL.exact_reverse(q)
    own, best = (evaluate_bound(kernel, q, x0, generator(2001)) for kernel in (model, exact))
    terms = [bound_terms(kernel, q, x0, generator(2001)).double().sum(1) / NATS_PER_BIT for kernel in (model, exact)]
    gaps = terms[0] - terms[1]
    gap = float(gaps.mean())
    cells = [f"{b.bound_bits:.3f} ± {b.standard_error_bits:.3f}" for b in (own, best)]
    limit = verdict(gap, 0.15, 2) if name == "MLP" else ""
    return [name, f"{seconds:g}", *cells, f"{gap:.3f} ± {float(gaps.std()) / HELD_OUT**0.5:.3f}", limit]


def main() -> None:
    torch.set_num_threads(1)
    began = perf_counter(), process_time()
    floors = [sliced_wasserstein(*ROLL.sample(2 * SAMPLES, generator(3000 + i)).chunk(2)) for i in range(FLOOR_PAIRS)]
    floor = statistics.mean(floors)
    rows = [["two draws of the data", "", "", spread(floors), "", "1.00", ""]]
    exact = ROLL.exact_reverse(diffusion(MLP[1]))
    values = distances(lambda seed: drawn(exact, seed))
    rows.append(["exact kernel, T = 40", "", "", spread(values), "", f"{statistics.mean(values) / floor:.2f}", ""])

    def trained_on(seed: int):
        return lambda i: points(seed)[torch.randperm(POINTS, generator=generator(i))[:SAMPLES]], 0

    rows.append(distance_rows("its 8,000 points", 0, trained_on, floor))
    bounds, trained = [], {}
    for name, run, seconds in (("MLP", MLP, 3), ("MLP", MLP, 10), ("paper's RBF", RBF, 3), ("paper's RBF", RBF, 10)):

        def ours(seed: int, run=run, seconds=seconds):
            model, steps = train(run, seconds, seed)
            trained[name, seconds, seed] = model  # noqa: B023
            return lambda i: drawn(model, i), steps

        rows.append(distance_rows(name, seconds, ours, floor))
        if seconds == 10:
            bounds.append(bound_row(name, seconds, run, trained[name, seconds, 0]))
    peer = _smalldiffusion.load()
    for seconds in (3, 5, 20):
        if peer is None:
            rows.append(["smalldiffusion", f"{seconds}", "", "not installed", "", "", ""])
            continue

        def theirs(seed: int, seconds=seconds):
            model, steps = _smalldiffusion.train(peer, points(seed), seconds, seed)
            return lambda i: _smalldiffusion.sample(peer, model, SAMPLES, i), steps

        rows.append(distance_rows("smalldiffusion", seconds, theirs, floor))
    table(["sampled from", "s", "steps", "sliced W₂", "three runs", "÷ floor", "target"], rows)
    table(["model", "s", "K, bits", "best chain", "gap", "target"], bounds)
    print(f"Share of a core: {(process_time() - began[1]) / (perf_counter() - began[0]):.2f}.\n")
    footer()


if __name__ == "__main__":
    main()
