"""What the Relatives page is asked: the data, the size of both networks, the autoencoder's form and the training time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from dpm_core.config import NetworkConfig, RunConfig, TrainConfig
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.networks import NETWORKS
from dpm_core.relatives import matched, parameters
from pages.ui import kinds, session
from pages.ui.controls import widgets
from pages.ui.kinds.images import IMAGES
from pages.ui.kinds.points import POINTS

AUTOENCODERS = {"points": "autoencoder_mlp", "images": "autoencoder_conv"}
SIZES = {"small": "Small", "medium": "Medium"}
DECODERS = {"learned": "Learned for every element of x", "fixed": "Fixed"}
SECONDS = (5, 10, 20, 40, 60, 120, 180, 300)
LATENTS = (1, 2, 4, 8, 16, 32, 64)
ANNEALING = (0, 100, 300, 1000, 3000)
RATE = 3e-3  # Adam's learning rate for autoencoders


@dataclass(frozen=True)
class Question:
    """Two runs on the same data for the same number of seconds, with about as many parameters."""

    source: Any
    diffusion: RunConfig
    vae: RunConfig
    seconds: int

    @property
    def kind(self) -> kinds.Kind:
        """The kind of the data."""
        return kinds.of(self.source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return self.kind.dataset(self.source).shape

    def runs(self) -> dict[str, RunConfig]:
        """Both runs by the name of their method."""
        return {"diffusion": self.diffusion, "vae": self.vae}

    def parameters(self, method: str) -> int:
        """The number of a network's parameters."""
        run = self.runs()[method]
        return parameters(run.network, self.shape, run.schedule.T)


def controls() -> Question:
    """The question, from controls. Raises DataError."""
    titles = {**POINTS.titles(), **IMAGES.titles()}
    name = widgets.choose("Data", titles, "data", "swiss_roll")
    kind = kinds.owner(name)
    source = kind.source_controls(name)
    images = kind is IMAGES
    size = widgets.choose("Network size", SIZES, "relatives_size", "small", help="Both networks have about as many parameters.")
    most = min(64, math.prod(kind.dataset(source).shape))
    offered = [n for n in LATENTS if n <= most]
    session.follow_default("latent", 16 if images else 2)
    latent = session.bind(
        st.select_slider, "Latent dimensions of the VAE", offered, 16 if images else 2, key="latent",
        help="Dimensions of z. With one or two, log p(x) of the VAE is computed exactly, for data in the plane.",
    )  # fmt: skip
    session.follow_default("annealing", 300 if images else 1000)
    decoder = widgets.choose("Standard deviation of the decoder", DECODERS, "decoder", "learned")
    deviation = 0.0
    if decoder == "fixed":
        deviation = session.bind(
            st.slider, "σ of p(x|z)", 0.02, 1.0, 0.1, 0.02, key="decoder_deviation", help="In units of the standardised data."
        )  # fmt: skip
    annealing = session.bind(
        st.select_slider, "Steps over which the weight of the KL term rises", list(ANNEALING), 300 if images else 1000, key="annealing",
        help="From 0 to 1. Without it latent dimensions often collapse at the start of training and stay so.",
    )  # fmt: skip
    session.follow_default("relatives_seconds", 60 if images else 20)
    seconds = session.bind(
        st.select_slider, "Training time of each, s", list(SECONDS), 60 if images else 20, key="relatives_seconds",
        help="Seconds of training on one processor thread for each of the two, at the same time.",
    )  # fmt: skip
    return make(source, size, int(latent), float(deviation), int(annealing), int(seconds), widgets.seed())


def make(source: Any, size: str, latent: int, deviation: float, annealing: int, seconds: int, seed: int) -> Question:
    """The question with networks of equal size. Raises DataError."""
    kind = kinds.of(source)
    dataset = kind.dataset(source)
    usual = DATA_KINDS[kind.name].usual_run(dataset, source.config())
    training = replace(usual.training, steps=10**6, decay="none", seed=seed)
    network = replace(usual.network, params=NETWORKS[usual.network.name].sizes[size])
    diffusion = replace(usual, network=network, training=training)
    name = AUTOENCODERS[kind.name]
    bare = NetworkConfig(name, tuple(sorted({"latent": latent, "deviation": deviation}.items())))
    vae = matched(bare, dataset.shape, parameters(network, dataset.shape, usual.schedule.T))
    elbo = TrainConfig(
        loss="elbo", steps=training.steps, decay="none", batch=training.batch, learning_rate=RATE, seed=seed, warmup=50,
        annealing=annealing,
    )  # fmt: skip
    return Question(source, diffusion, replace(usual, network=vae, training=elbo), seconds)


def python_of(question: Question) -> str:
    """The Python that trains both and prints their bounds."""
    diffusion, vae = question.diffusion, question.vae
    seed, made = vae.training.seed, question.kind.snippet(question.source, diffusion.schedule)
    return f"""import time
import torch
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.guidance import make_model
from dpm_core.measure.bound import estimate_bound
from dpm_core.relatives import evaluate_elbo
from dpm_core.training import Trainer
{made.imports}

{made.statements}
runs = {{
    "diffusion": ({diffusion.network!r}, {diffusion.training!r}),
    "vae": ({vae.network!r}, {vae.training!r}),
}}
found = {{}}
for name, (network, training) in runs.items():
    model = make_model(network, diffusion, data.shape, {seed})
    trainer = Trainer(model, DATA_KINDS[data.kind].training_data(data, "cpu", {seed}, 8000), training)
    end = time.monotonic() + {question.seconds}
    while time.monotonic() < end:
        trainer.step()
    found[name] = trainer.average
x0 = data.sample_held_out(500, torch.Generator().manual_seed(11))
print("diffusion", estimate_bound(found["diffusion"], diffusion, x0).bound_bits, "bits")
print("VAE", evaluate_elbo(found["vae"], x0, draws=10).bound_bits, "bits")
"""
