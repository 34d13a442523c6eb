"""A VAE beside a diffusion model of about as many parameters, trained for the same time on the same threads: K on the same held-out images.

Each model trains alone. The learning rate falls by a cosine over the time. K of the diffusion model is estimated from 20,000 pairs of an
image and a time, the VAE's bound on all held-out images with ten latents for each.
"""

from __future__ import annotations

import argparse
import math
from time import perf_counter

import torch

from benchmarks._report import footer, table
from dpm_core.cli.common import held_out_bound
from dpm_core.config import NetworkConfig, RunConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.guidance import make_model
from dpm_core.process import make_diffusion
from dpm_core.relatives import evaluate_elbo, importance_log_prob, matched, parameters
from dpm_core.training import Trainer

LATENT, DRAWS, WEIGHED = 32, 100, 200  # dimensions of z; importance-weighted draws, and the data that they are for


def trained(run: RunConfig, data, seconds: float) -> Trainer:
    """A network trained for ``seconds``; the learning rate falls to 0 over this time."""
    model = make_model(run.network, make_diffusion(run), data.shape, 0)
    trainer = Trainer(model, DATA_KINDS[data.kind].training_data(data, "cpu", 0, 8000), run.training)
    rate, began = run.training.learning_rate, perf_counter()
    while (share := (perf_counter() - began) / seconds) < 1:
        trainer.learning_rate = rate * 0.5 * (1 + math.cos(math.pi * share))
        trainer.step()
    return trainer


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="K of a VAE and of a diffusion model of the same size after the same time.")
    parser.add_argument("--data", default="mnist", help="images or points (default mnist)")
    parser.add_argument("--seconds", type=float, default=180.0, help="training time of each (default 180)")
    parser.add_argument("--threads", type=int, default=2, help="processor threads (default 2)")
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    data, config = sources.make(args.data, None, ())
    kind = DATA_KINDS[data.kind]
    usual, unit = kind.usual_run(data, config), kind.unit(data)
    common = {"steps": 10**9, "decay": "none", "batch": usual.training.batch}
    count = parameters(usual.network, data.shape, usual.schedule.T)
    name, latent = ("autoencoder_mlp", 2) if data.kind == "points" else ("autoencoder_conv", LATENT)
    rows = []
    began = TrainConfig(**common, learning_rate=usual.training.learning_rate, warmup=usual.training.warmup)
    diffusion = trained(RunConfig(usual.data, usual.schedule, usual.network, began), data, args.seconds)
    bound = held_out_bound(diffusion.average.eval(), data, 0)
    k, error = bound.bound_bits / unit.count, bound.standard_error_bits / unit.count
    rows.append([f"diffusion ({usual.network.name})", f"{count:,}", f"{diffusion.step_number:,}", f"{k:.3f} ± {error:.3f}", "", ""])
    x0 = data.sample_held_out(kind.held_out(data).count, torch.Generator().manual_seed(1_000_003))
    for title, deviation in (("learned variance", 0.0), ("fixed deviation 0.1", 0.1)):
        network = matched(NetworkConfig(name, (("deviation", deviation), ("latent", latent))), data.shape, count)
        training = TrainConfig(**common, loss="elbo", learning_rate=3e-3, warmup=50, annealing=300)
        vae = trained(RunConfig(usual.data, usual.schedule, network, training), data, args.seconds)
        model = vae.average.eval()
        elbo = evaluate_elbo(model, x0, torch.Generator().manual_seed(0), draws=10)
        few = x0[:WEIGHED]
        weighed = importance_log_prob(model, few, DRAWS, torch.Generator().manual_seed(0)).mean() / math.log(2)
        gain = (float(weighed) - evaluate_elbo(model, few, torch.Generator().manual_seed(0), draws=10).bound_bits) / unit.count
        k, error = elbo.bound_bits / unit.count, elbo.standard_error_bits / unit.count
        rows.append(
            [
                f"VAE, {title}", f"{parameters(network, data.shape):,}", f"{vae.step_number:,}", f"{k:.3f} ± {error:.3f}",
                f"{gain:.3f}", f"{elbo.active} of {latent}",
            ]
        )  # fmt: skip
    table(["model", "parameters", "steps", f"K, bits per {unit.name}", f"log₂ p(x) − K, {DRAWS} draws", "active latents"], rows)
    footer()


if __name__ == "__main__":
    main()
