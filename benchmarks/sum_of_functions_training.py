"""SFO against Adam in training: K on held-out points of the swiss roll, with the paper's rbf network, after about equal times."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter

import torch

from benchmarks._report import footer, table
from dpm_core.config import NetworkConfig, RunConfig, TrainConfig
from dpm_core.data.toy2d import make_dataset
from dpm_core.guidance import make_model
from dpm_core.process import make_diffusion
from dpm_core.training import make_trainer
from dpm_core.training.snapshots import Evaluator

RUN = RunConfig(network=NetworkConfig("rbf"))
SECONDS, SEEDS = 30.0, (0, 1, 2)
WAYS = {
    "Adam, batch 512, 4,000 steps, cosine": (TrainConfig(), None),
    "Adam, batch 512, 10,000 steps, cosine": (TrainConfig(steps=10_000), None),
    "SFO, 32 minibatches of 2,048": (TrainConfig(batch=2048, optimiser="sfo", decay="none"), SECONDS),
    "SFO, 32 minibatches of 512": (TrainConfig(optimiser="sfo", decay="none"), SECONDS),
}


def main() -> None:
    torch.set_num_threads(1)
    data, diffusion = make_dataset("swiss_roll"), make_diffusion(RUN)
    points, held_out = (data.sample(n, torch.Generator().manual_seed(seed)) for n, seed in ((8000, 0), (500, 11)))
    evaluator, rows = Evaluator(diffusion, held_out, 10, 20, 0), []
    for name, (config, seconds) in WAYS.items():
        for seed in SEEDS:
            trainer = make_trainer(make_model(RUN.network, diffusion, (2,), seed), points, replace(config, seed=seed))
            began = perf_counter()
            while perf_counter() - began < (seconds or 600) and (seconds or trainer.step_number < config.steps):
                step = trainer.step()
            spent, bound = perf_counter() - began, evaluator.bound(step.average)
            rows.append([name, str(seed), f"{step.step:,}", f"{spent:.0f}", f"{bound.bound_bits:.3f} ± {bound.standard_error_bits:.3f}"])
    table(["optimiser", "seed", "steps", "s", "K, bits"], rows)
    footer()


if __name__ == "__main__":
    main()
