"""Continuous time and flow matching: orders of the solvers on the swiss roll, how soon the page draws, and what three seconds teach.

``python -m benchmarks.continuous``

First table: slopes of the error over the number of evaluations of the exact score, fitted to 16, 32, 64 and 128 steps, for the paths
(500 particles, median distance to 512 Heun steps) and for the distribution (``--particles``, means of test functions, fitted to 4, 8, 16
and 32 steps, as sampling error sets a limit below). Targets: Heun 2.0 ± 0.2 without noise, Euler-Maruyama 1.0 ± 0.2 with noise.

Second table: what the page Continuous computes after a change before it can draw, in a warm process, median of five seeds. Target: 0.4 s.

Third table: the same network trained for 3 s on one thread by the bound and by flow matching; sliced W₂ between 5,000 samples and as
many new data, median of three runs, beside the distance of two draws of the data.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterator
from time import perf_counter

import torch

from benchmarks._report import footer, table, verdict
from benchmarks._roll import ROLL, generator, train
from dpm_core.config import NetworkConfig, ScheduleConfig
from dpm_core.continuous import SOLVERS, convergence, solve_reference
from dpm_core.continuous.equations import FINE
from dpm_core.data import toy2d
from dpm_core.measure.distances import sliced_wasserstein
from dpm_core.paths import flow
from dpm_core.process import GaussianDiffusion
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

PATHS, COUNTS, FEW = 500, (16, 32, 64, 128), (4, 8, 16, 32)
FIRST_DRAW = 0.4  # seconds
COMPARED = 5000  # samples


def orders(particles: int) -> Iterator[list[str]]:
    """Rows of the first table."""
    diffusion = GaussianDiffusion(make_schedule("log_snr", FINE))
    exact = toy2d.make_dataset("swiss_roll").exact_reverse(diffusion)
    for noise_level in (0.0, 1.0):
        for n, counts, which in ((PATHS, COUNTS, 0), (particles, FEW, 1)):
            x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            noise = torch.Generator().manual_seed(1)
            reference = solve_reference(exact, diffusion, x, 512, noise_level=noise_level, generator=noise)
            for name, solver in SOLVERS.items():
                if noise_level and not solver.follows_noise:
                    continue
                found = convergence(reference, name, counts)
                slope, error = found.slopes[which]
                errors = (found.paths, found.weak)[which]
                wanted = -solver.order if noise_level == 0 and which == 0 else ""
                what = f"{solver.title}, κ = {noise_level:g}, {('paths', 'distribution')[which]}"
                yield [what, f"{slope:.2f} ± {error:.2f}", str(wanted), f"{errors[0]:.1e} … {errors[-1]:.1e}"]
                print("  " + " | ".join([what, f"{slope:.2f} ± {error:.2f}"]), flush=True)


def first_draw() -> list[str]:
    """The row of the second table."""
    from pages.ui.continuous import views  # here, as it starts Streamlit
    from pages.ui.continuous.question import Question
    from pages.ui.kinds.points.source import PointSource

    times = []
    for seed in range(6):
        start = perf_counter()
        views._payload(Question(PointSource("swiss_roll"), ScheduleConfig("log_snr", FINE), seed=seed))
        times.append(perf_counter() - start)
    median = statistics.median(times[1:])
    return ["change to first draw, s", f"{median:.2f}", f"{median / FIRST_DRAW:.2f}", verdict(median, FIRST_DRAW, 1)]


def learning(seconds: float = 3.0) -> Iterator[list[str]]:
    """Rows of the third table."""
    fresh = ROLL.sample(COMPARED, generator(90))
    floor = sliced_wasserstein(ROLL.sample(COMPARED, generator(91)), fresh)
    noise = torch.randn(COMPARED, 2, generator=generator(92))
    found: dict[str, list[float]] = {}
    for seed in range(3):
        for loss, schedule in (("bound", ScheduleConfig("log_snr", 40)), ("flow", ScheduleConfig("flow", 100))):
            model, _ = train((NetworkConfig(), schedule), seconds, seed, loss)
            samplers = {
                "the paper's sampler, all steps": lambda model=model: ancestral(model, model.diffusion, noise, generator=generator(93)),
                "straight line, 40 evaluations": lambda model=model: flow(model, "line", noise, 20, second_order=True),
                "variance preserving, 40 evaluations": lambda model=model: flow(model, "preserving", noise, 20, second_order=True),
            }
            for title, sample in samplers.items():
                *_, (_, x) = sample()
                found.setdefault(f"loss {loss}, {title}", []).append(sliced_wasserstein(x, fresh))
    for title, values in found.items():
        yield [
            title,
            f"{statistics.median(values):.3f}",
            f"{min(values):.3f} to {max(values):.3f}",
            f"{statistics.median(values) / floor:.1f}",
        ]


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, default=10_000, help="by which distributions are compared")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table(["solver, noise level, error", "slope", "order", "errors"], list(orders(args.particles)))
    table(["page Continuous", "value", "÷ target", "target"], [first_draw()])
    table([f"swiss roll after {3:g} s, samples by", "sliced W₂", "three runs", "÷ two draws"], list(learning()))
    footer()


if __name__ == "__main__":
    main()
