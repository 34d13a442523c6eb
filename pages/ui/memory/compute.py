"""What the Memory page computes: a network trained on N points, samples of it and of the exact memoriser, and the two times."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import streamlit as st
import torch
from torch import Tensor

from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.measure.memorisation import collapse_time, copies, information_nats, nearest_distance, participation, speciation_time
from dpm_core.reverse import EmpiricalReverse, ReverseKernel, ReverseModel, build_model
from dpm_core.samplers import Recording, ancestral, record
from dpm_core.training import train_steps
from pages.ui import cache
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.points.source import dataset
from pages.ui.memory import question as asked
from pages.ui.memory.question import Question

COMPARED = 500  # particles by which kernels are compared at every time
KERNELS = {"memoriser": "exact kernel of N points", "network": "network trained on them", "truth": "new data"}


class Times(NamedTuple):
    """Over t = 1..T: information about x⁽⁰⁾ in bits, and the mean participation of one training point; and both times, in steps."""

    information: list[float]
    participation: list[float]
    speciation: float
    collapse: float


class Samples(NamedTuple):
    """The share of samples that are copies of a training point, and their mean distance to the nearest one."""

    copies: float
    distance: float


def points(question: Question) -> Tensor:
    """The training points ``[N, 2]``."""
    return dataset(question.source).sample(question.points, torch.Generator().manual_seed(question.seed))


@st.cache_resource(max_entries=16, show_spinner=False)
def _trained(question: Question) -> cache.Once[ReverseModel]:
    return cache.Once()


def network(question: Question, progress: Callable[[float], None] | None = None) -> ReverseModel:
    """The network trained on the points, once; ``progress`` takes the share that is done."""

    def make() -> ReverseModel:
        config = NetworkConfig("mlp", (("width", question.width),))
        model = build_model(config, cache.diffusion(question.schedule), seed=question.seed)
        steps = asked.TRAINING
        trained = model
        for done, step in enumerate(train_steps(model, points(question), TrainConfig(steps=steps, batch=256)), 1):
            trained = step.average
            if progress is not None and done % 50 == 0:
                progress(done / steps)
        return trained

    return _trained(question).get(make)


def kernel(question: Question, name: str) -> ReverseKernel:
    """The exact kernel of the points, or the network."""
    if name == "network":
        return network(question)
    return EmpiricalReverse(points(question), cache.diffusion(question.schedule), 0.0)


@st.cache_data(max_entries=32, show_spinner=False)
def path(question: Question, name: str) -> Recording:
    """The reverse process of one kernel; both start from the same noise. New data: the forward process, played backward."""
    diffusion, n = cache.diffusion(question.schedule), question.n
    frames = min(diffusion.T + 1, stages.MAX_FRAMES)
    few = stages.shown(n, frames, 3)
    if name == "truth":
        x0 = dataset(question.source).sample(n, torch.Generator().manual_seed(question.seed + 3))
        steps = diffusion.forward_steps(x0, torch.Generator().manual_seed(question.seed + 4))
        found = record(steps, diffusion.T + 1, frames, few)
        return Recording(found.times[::-1].copy(), found.x[::-1].copy())
    x_T = torch.randn(n, 2, generator=torch.Generator().manual_seed(question.seed + 1))
    run = ancestral(kernel(question, name), diffusion, x_T, generator=torch.Generator().manual_seed(question.seed + 2))
    return record(run, diffusion.T + 1, frames, few)


def samples(question: Question, name: str) -> Samples:
    """How near the samples of one panel are to the training points."""
    x, training = torch.from_numpy(path(question, name).x[-1]), points(question)
    return Samples(copies(x, training), nearest_distance(x, training))


@st.cache_data(max_entries=32, show_spinner=False)
def times(question: Question) -> Times:
    """Speciation and collapse, and what they are read from."""
    exact, training = cached.exact(question.source, question.schedule), points(question)
    memoriser, diffusion = EmpiricalReverse(training, exact.diffusion, 0.0), exact.diffusion
    chosen = training[torch.randint(len(training), (COMPARED,), generator=torch.Generator().manual_seed(61))]
    noise = torch.Generator().manual_seed(62)
    shares = [float(participation(memoriser, diffusion.q_sample(chosen, t, noise), t).mean()) for t in range(1, diffusion.T + 1)]
    information = (information_nats(exact) / NATS_PER_BIT).tolist()
    return Times(information, shares, speciation_time(exact), collapse_time(exact, question.points))


@st.cache_data(max_entries=32, show_spinner=False)
def differences(question: Question) -> dict[str, list[float]]:
    """Root mean square difference of x̂⁽⁰⁾ between the network and the exact kernels of the N points and of the data, t = 1..T."""
    diffusion, learned = cache.diffusion(question.schedule), network(question)
    exact = {"memoriser": kernel(question, "memoriser"), "truth": cached.exact(question.source, question.schedule)}
    x0 = dataset(question.source).sample(COMPARED, torch.Generator().manual_seed(63))
    noise, found = torch.Generator().manual_seed(64), {name: list[float]() for name in exact}
    with torch.inference_mode():
        for t in range(1, diffusion.T + 1):
            x = diffusion.q_sample(x0, t, noise)
            ours = learned.x0_posterior(x, t)[0]
            for name, other in exact.items():
                found[name].append(float((ours - other.x0_posterior(x, t)[0]).square().sum(1).mean().sqrt()))
    return found
