"""The paper's Tables 1 and 2 beside the shipped models, measured anew, and where the plane's missing bits are. Two threads.

Table 1: K on data that no model was trained on, with its standard error, and K − L_null, in bits per point or pixel. Data are
scaled to variance 1. Images are grey levels 0..255 plus uniform noise of one level, 32 × 32, in colour three numbers a pixel.
Swiss rolls with other noise have no network: the best Gaussian chain at T = 40 and −h stand for them. Sets that are not at
hand are left out and named. Heartbeats are sequences of bits under the binomial diffusion, in bits per sequence.

Table 2: MNIST by Parzen windows (Breuleux et al. 2011): as many samples as the table says, in 50 steps, pixels in [0, 1], the
bandwidth by cross-validation on 1,000 training images, the mean over the test images with its standard error. "Over sample sets": the
standard error because other samples could have been drawn, from four parts of the set. "Training data": training images in place of
samples.

All of it is also written to benchmarks/paper_tables.json, which the app's Measure pages show, unless --quick.

Then the budget of every plane model, the learned schedule beside the fixed ones, and Jarzynski beside quadrature.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import torch
from scipy.stats import chisquare
from torch import Tensor

from benchmarks._image_run import use_threads
from benchmarks._report import footer, table, verdict
from dpm_core import checkpoints
from dpm_core.data import toy2d
from dpm_core.data.images import available, make_images
from dpm_core.measure.bound import NATS_PER_BIT, evaluate_bound
from dpm_core.measure.budget import Budget, budget
from dpm_core.measure.estimators import jarzynski, parzen, parzen_log_prob
from dpm_core.measure.model_density import exact_log_prob, first_marginal
from dpm_core.process import GaussianDiffusion
from dpm_core.samplers import SAMPLERS
from dpm_core.schedules import SCHEDULES, make_schedule
from dpm_core.training.learned_schedule import learn

ROLLS = (0.02, 0.03, 0.05, 0.1)  # noise
PAPER = {"dead_leaves_unet": (1.489, 3.536), "cifar10_unet": (5.4, 11.5), "brick_unet": (-0.55, 1.5)}
PARZEN_BITS = 317.0
BEATS, BEAT_BITS = ("heartbeat_mlp", "heartbeat_sigmoid"), -2.36
BATCH = 50
SETS = 4  # parts of the samples, whose Parzen estimates tell how much it depends on the samples
KEPT = Path(__file__).with_suffix(".json")


def signed(value: float, error: float | None = None, digits: int = 3) -> str:
    """A number, with its standard error where it has one."""
    return f"{value:.{digits}f}" + ("" if error is None else f" ± {error:.2g}")


def rolls(n: int) -> Iterator[list[str]]:
    """Swiss rolls, none of which is the paper's: it does not say how noisy that was."""
    yield ["swiss roll, in the paper", "2.35", "6.45", "not given", ""]
    for noise in ROLLS:
        dataset, process = toy2d.make_dataset("swiss_roll", noise), GaussianDiffusion(make_schedule("log_snr", 40))
        found = budget(None, dataset.exact_reverse(process), process, dataset.sample(n, torch.Generator().manual_seed(1)))
        best = signed(found.best_bits, found.errors_bits["discretisation"])
        gain = signed(found.best_bits - found.null / NATS_PER_BIT)
        yield [f"σ = {noise:g}, exact kernels", best, gain, signed(-found.entropy / NATS_PER_BIT), ""]
    for name in ("swiss_roll_mlp", "swiss_roll_rbf"):
        loaded = checkpoints.load(name)
        process, x0 = loaded.diffusion, loaded.dataset.sample(n, torch.Generator().manual_seed(1))
        found = budget(loaded.model, loaded.dataset.exact_reverse(process), process, x0)
        gain, limit = found.bound_bits - found.null / NATS_PER_BIT, -found.entropy / NATS_PER_BIT
        yield [f"σ = {loaded.dataset.noise:g}, {name}", signed(found.bound_bits, found.bound_error_bits), signed(gain), signed(limit), ""]


def plane(n: int) -> Iterator[list[str]]:
    """The budget of every shipped model in the plane."""
    for name in checkpoints.list_checkpoints([checkpoints.SHIPPED]):
        loaded = checkpoints.load(name)
        if not isinstance(loaded.dataset, toy2d.PlaneDataset):
            continue
        process, dataset = loaded.diffusion, loaded.dataset
        found = budget(loaded.model, dataset.exact_reverse(process), process, dataset.sample(n, torch.Generator().manual_seed(1)))
        parts = [signed(value, found.errors_bits.get(part)) for part, value in found.parts_bits.items()]
        yield [name, signed(found.bound_bits, found.bound_error_bits), signed(-found.entropy / NATS_PER_BIT), *parts]


def images() -> Iterator[list[str]]:
    """Shipped models of images: K as measured when they were trained, on 20,000 pairs, so that there is one number of each."""
    for name, (k, gain) in PAPER.items():
        yield [f"{name.removesuffix('_unet')}, in the paper" + (" (bark)" if "brick" in name else ""), signed(k), signed(gain), "", ""]
        loaded = checkpoints.load(name)
        spec, pixels = loaded.dataset, loaded.dataset.pixels_count
        K, error, null = (loaded.meta[key] / pixels for key in ("bound_bits", "bound_standard_error_bits", "null_bits"))
        yield [name, signed(K, error), signed(K - null), "unknown", f"{spec.bits_per_dimension(loaded.meta['bound_bits']):.2f}"]


def heartbeats(n: int) -> Iterator[list[str]]:
    """The paper's heartbeat at T = 2,000: 20 bits, a 1 every fifth, any phase."""
    yield ["heartbeat, in the paper", "-2.414", "12.024", "-2.322", ""]
    first = checkpoints.load(BEATS[0])
    limit = signed(-first.dataset.entropy() / NATS_PER_BIT)
    models = {"exact kernels of each bit": first.dataset.exact_reverse(first.diffusion)} | {
        name: checkpoints.load(name).model for name in BEATS
    }
    for name, model in models.items():
        x0 = first.dataset.sample(n, torch.Generator().manual_seed(1))
        found = evaluate_bound(model, first.diffusion, x0, torch.Generator().manual_seed(2))
        word = "" if name not in BEATS else verdict(found.bound_bits, BEAT_BITS, 3, at_most=False)
        yield [name, signed(found.bound_bits, found.standard_error_bits), signed(found.bound_bits - found.null_bits), limit, word]


def beats(n: int) -> Iterator[list[str]]:
    """Samples of the shipped heartbeats: how many are heartbeats, and whether all phases come as often (χ² with 4 degrees of freedom)."""
    for name in BEATS:
        loaded = checkpoints.load(name)
        for count, steps in ((n // 10, loaded.diffusion.T), (n, 50)):
            began = perf_counter()
            *_, (_, x) = SAMPLERS["ancestral"](
                loaded.model, loaded.diffusion, (count, *loaded.shape), steps=steps, generator=torch.Generator().manual_seed(3)
            )
            took = perf_counter() - began
            valid = loaded.dataset.log_prob(x).isfinite()
            share, p = float(valid.double().mean()), chisquare(x[valid][:, :5].sum(0).numpy()).pvalue
            yield [name, f"{count:,}", f"{steps:,}", f"{100 * share:.2f} %", f"{p:.2g}", f"{took:.2f} s"]


def digits(n: int, tests: int) -> Iterator[list[str]]:
    """MNIST by windows."""
    if why := available("mnist"):
        yield ["mnist_unet", why, "", "", "", ""]
        return
    dataset, loaded = make_images("mnist"), checkpoints.load("mnist_unet")
    shuffled = dataset.train[torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(0))]
    validation, test = shuffled[-1000:].float() / 255, dataset.held_out[:tests].float() / 255
    yield ["diffusion model, in the paper", "317 ± 2.7", "", "220", "", ""]
    yield ["the training data, in the paper", "349 ± 3.3", "", "", "", ""]
    for name, made in ((f"mnist_unet, {n:,} samples", drawn(loaded, n)), (f"training data, {n:,}", shuffled[:n])):
        samples = made.float() / 255
        found = parzen(samples, validation, test)
        (bits, error), (nats, _) = found.bits, found.nats
        parts = [parzen_log_prob(part, test, found.bandwidth).mean() / NATS_PER_BIT for part in samples.chunk(SETS)]
        between = float(torch.stack(parts).std()) / math.sqrt(SETS)  # of the whole set, which is as many times as large as each part
        target = verdict(bits, PARZEN_BITS, 0, at_most=False) if "unet" in name else ""
        yield [name, signed(bits, error, 1), f"± {between:.1f}", f"{nats:.1f}", f"{found.bandwidth:.3f}", target]


def drawn(loaded: checkpoints.Checkpoint, n: int) -> Tensor:
    """n samples as grey levels, uint8, by ancestral sampling in 50 steps."""
    out, generator = [], torch.Generator().manual_seed(4)
    for start in range(0, n, BATCH):
        shape = (min(BATCH, n - start), *loaded.shape)
        *_, last = SAMPLERS["ancestral"](loaded.model, loaded.diffusion, shape, steps=50, generator=generator)
        out.append(loaded.dataset.pixels(last.x))
    return torch.cat(out)


def schedules(lengths: tuple[int, ...], n: int) -> Iterator[list[str]]:
    """K of the best Gaussian chain on the roll: the learned schedule, the best three of the fixed ones, and the paired difference to the
    best of them, which is called better only by more than two of its standard errors."""
    roll = toy2d.DATASETS["swiss_roll"]
    x0 = roll.sample(n, torch.Generator().manual_seed(9))

    def best(schedule) -> Budget:
        process = GaussianDiffusion(schedule)
        return budget(None, roll.exact_reverse(process), process, x0, torch.Generator().manual_seed(3))

    def words(found: Budget) -> str:
        return signed(found.best_bits, found.errors_bits["discretisation"])

    for T in lengths:
        fixed = {
            name: best(make_schedule(name, T, **({"beta_1": 1e-3} if name == "paper" else {}))) for name in SCHEDULES if name != "custom"
        }
        start = roll.exact_reverse(GaussianDiffusion(make_schedule("log_snr", T)))
        *_, learned = learn(start, roll.sample(128, torch.Generator().manual_seed(1)), 200, torch.Generator().manual_seed(2))
        ranked = sorted(fixed.items(), key=lambda item: -item[1].best_bits)
        found = best(learned.schedule)
        gain, error = found.best_bits_above(ranked[0][1])
        verdict = "yes" if gain > 2 * error else "no" if gain < -2 * error else "not clear"
        yield [str(T), words(found), *[f"{words(one)} ({name})" for name, one in ranked[:3]], signed(gain, error), verdict]


def trajectories(N: int) -> Iterator[list[str]]:
    """Jarzynski's estimate at held-out points of the roll against the model's exact density."""
    loaded = checkpoints.load("swiss_roll_mlp")
    x0 = loaded.dataset.sample(20, torch.Generator().manual_seed(5))
    exact = exact_log_prob(loaded.model, first_marginal(loaded.model, loaded.diffusion), x0)
    found = jarzynski(loaded.model, loaded.diffusion, x0, N, torch.Generator().manual_seed(1))
    off = (found.log_prob - exact).abs()
    # over the trajectories of these points: all three rows are of the same points
    elbo_error, error = (float(each.square().sum().sqrt()) / len(x0) for each in (found.elbo_error, found.standard_error))
    yield ["mean over 20 points: ELBO", signed(float(found.elbo.mean()), elbo_error), "", ""]
    yield [f"Jarzynski, N = {N:,}", signed(float(found.log_prob.mean()), error), "", ""]
    yield ["exact", signed(float(exact.mean())), "", ""]
    gap = abs(float((found.log_prob - exact).mean()))
    yield ["|Jarzynski − exact| of the means", signed(gap, error, 4), f"{gap / 0.02:.2f}", verdict(gap, 0.02, 2)]
    middle = float(off.median())
    yield ["|Jarzynski − exact| of a point, median", signed(middle, digits=4), f"{middle / 0.02:.2f}", verdict(middle, 0.02, 2)]
    yield ["the same, worst of 20", signed(float(off.max()), digits=4), "", ""]


def main() -> None:
    parser = argparse.ArgumentParser(description="The paper's tables beside the shipped models.")
    parser.add_argument("--quick", action="store_true", help="in under three minutes: fewer images, samples and trajectories")
    quick = parser.parse_args().quick
    use_threads()
    began = perf_counter()
    head = ["K, bits", "K − L_null", "−h", "reaches the paper's K"]
    samples, tests = (200, 1000) if quick else (10_000, 10_000)
    lengths = (5, 10) if quick else (5, 10, 20, 40)
    parts = ["fixed first step", "prior mismatch", "discretisation gap", "learning gap"]
    tables = {
        "points": (["Table 1, per point", *head], rolls(1000 if quick else 4000)),
        "bits": (["Table 1, per sequence", "K, bits", "K − L_null", "−H", "≥ −2.36"], heartbeats(200 if quick else 2000)),
        "beats": (["checkpoint", "samples", "steps", "heartbeats", "p of equal phases", "time"], beats(1000 if quick else 10_000)),
        "pixels": (["Table 1, per pixel", *head[:3], "bits per dimension"], images()),
        "digits": (["Table 2, MNIST", "bits", "over sample sets", "nats", "bandwidth", "target"], digits(samples, tests)),
        "plane": (["plane", "K, bits", "−h", *parts], plane(1000 if quick else 4000)),
        "schedules": (["T", "learned, K bits", "1st fixed", "2nd", "3rd", "learned − 1st", "better"], schedules(lengths, 1000)),
        "trajectories": (["swiss_roll_mlp, nats", "value", "÷ target", "target"], trajectories(1000 if quick else 10_000)),
    }
    kept: dict = {"command": "python -m benchmarks.paper_tables", "date": datetime.date.today().isoformat(), "tables": {}}
    for name, (columns, made) in tables.items():
        rows = list(made)
        table(columns, rows)
        kept["tables"][name] = {"columns": columns, "rows": rows}
    if not quick:
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    print(f"{perf_counter() - began:.0f} s in all.")
    footer()


if __name__ == "__main__":
    main()
