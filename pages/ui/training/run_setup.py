"""The Train page's controls: which data, network, loss and stopping rule, as one description of a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from dpm_core import jobs
from dpm_core.config import SFO_LEAD, NetworkConfig, RunConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.data.kinds import classes_of
from dpm_core.jobs.order import own_devices
from dpm_core.networks import NETWORKS, networks_for
from dpm_core.training import cost, usual_precision
from dpm_core.training.sum_of_functions_trainer import MINIBATCHES
from pages.ui import kinds, session
from pages.ui.components.number_cards import count
from pages.ui.controls.schedule import SCHEDULE_TITLES, with_points
from pages.ui.controls.widgets import choose, whole_number
from pages.ui.kinds import Kind, menu
from pages.ui.kinds.runs import UNNAMED, Setup

SIZE_TITLES = {"small": "Small", "medium": "Medium", "large": "Large"}
STOP_TITLES = {
    "steps": "After a number of steps",
    "seconds": "After a time",
    "plateau": "When K stops rising",
    "never": "Only when stopped",
}
DEVICE_TITLES = {"cpu": "CPU", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"}
OPTIMISER_HELP = (
    f"SFO (sum of functions): {SFO_LEAD} steps of Adam, then quasi-Newton steps without a learning rate, on {MINIBATCHES} minibatches "
    "that are drawn once: a fixed sample of the loss, so choose a large batch. For networks of at most 50,000 parameters. Learning rate "
    "and clipping belong to Adam's steps. On the swiss roll Adam alone reaches a higher K in equal time."
)
LEARNING_RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 4e-3, 6e-3, 1e-2, 2e-2]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]


def setup() -> Setup:
    """The sidebar. Raises DataError, ScheduleError or ConfigError where the data or the numbers cannot be used."""
    source = menu.choose_source("digits")
    kind, config = kinds.of(source), source.config()
    data = kind.dataset(source)
    proposed, best = (make(data, config) for make in (sources.live_run, sources.usual_run))
    like, suffix = proposed.training, kind.key_suffix
    titles = {name: one.title for name, one in networks_for(kind.name, data.shape).items()}
    network = choose("Network", titles, f"network{suffix}", proposed.network.name)
    size = session.bind(
        st.segmented_control, "Size", list(SIZE_TITLES), default="small", format_func=SIZE_TITLES.get, key="net_size", required=True
    )
    classes = _classes(network, data)
    rate = session.bind(
        st.select_slider, "Learning rate", LEARNING_RATES, like.learning_rate, lambda v: f"{v:g}", key=f"rate{suffix}",
        help="Can be changed during training; it applies from the next step on. Of SFO, only the first steps have one.",
    )  # fmt: skip
    with st.sidebar.expander("Schedule, batch, device"):
        stop, decays = _stop(like, suffix)
        name = choose("Schedule", SCHEDULE_TITLES, "schedule", proposed.schedule.name)
        T = whole_number("Steps T of the chain", 2, 2000, proposed.schedule.T, f"T{suffix}")
        batch = session.bind(st.select_slider, "Batch size", BATCHES, like.batch, key=f"batch{suffix}")
        loss = choose("Loss", dict(kind.training.losses), f"loss{suffix}", like.loss)
        optimiser = like.optimiser
        if len(kind.training.optimisers) > 1:
            optimiser = choose("Optimiser", dict(kind.training.optimisers), f"optimiser{suffix}", like.optimiser, OPTIMISER_HELP)
        ema = session.bind(
            st.select_slider, "Moving average of the weights (EMA)", [0.0, 0.9, 0.99, 0.999, 0.9999], 0.999, key="ema",
            help="Samples and K are computed with an exponential moving average of the weights, which fluctuates less.",
        )  # fmt: skip
        seed = whole_number("Seed", 0, 9999, 0, "train_seed", help="The same seed gives the same run.")
        device = _device(kind)
        compiled = device == "cuda" and session.bind(
            st.toggle, "Compile the network", False, key="compile",
            help="Takes about a minute before the first step. Small networks are then several times faster.",
        )  # fmt: skip
        own_name = session.bind(st.text_input, "Name of the run", "", max_chars=64, key="run_name", placeholder="automatic").strip()
    training = replace(
        like, loss=loss, steps=stop.steps if decays and stop.steps else 1_000_000, batch=batch, learning_rate=rate, ema=ema, seed=seed,
        decay="cosine" if decays else "none", precision="float32" if optimiser == "sfo" else usual_precision(device), optimiser=optimiser,
    )  # fmt: skip
    schedules = {run.schedule.name: run.schedule for run in (best, proposed)}
    schedule = replace(schedules[name], T=T) if name in schedules else with_points(name, T)
    run = RunConfig(config, schedule, NetworkConfig(network, size_params(network, size), classes=classes), training, proposed.diffusion)
    job = jobs.JobConfig(
        UNNAMED, run, stop, device, compile=compiled, snapshot_samples=kind.watched_samples(source), sample_steps=kind.training.sample_steps
    )
    return Setup(source, job, own_name)


def _classes(network: str, data: Any) -> int:
    """The number of classes of the labels that the network is given; 0 without labels."""
    classes = len(classes_of(data))
    if not (classes and NETWORKS[network].labelled):
        return 0
    wanted = session.bind(
        st.toggle, "Class-conditional", False, key="by_class",
        help=f"Also give the network the label y of each datum ({classes} classes), left out one time in ten. "
        "Sample i of the snapshots is then of class i. Ask for a class on the pages Guide, Reverse, Inpaint and Denoise.",
    )  # fmt: skip
    return classes if wanted else 0


def _stop(like: TrainConfig, suffix: str) -> tuple[jobs.Stop, bool]:
    """When to stop, and whether the number of steps is known in advance, so that the learning rate can decay towards it."""
    rule = choose("Stop", STOP_TITLES, "stop_by")
    if rule == "seconds":
        return jobs.Stop(seconds=float(whole_number("Seconds", 1, 86_400, 60, "seconds", 30))), False
    if rule == "never":
        return jobs.Stop(), False
    label = "Training steps" if rule == "steps" else "Training steps at most"
    steps = whole_number(label, 1, 1_000_000, like.steps, f"max_steps{suffix}", 500)
    return jobs.Stop(steps=steps, plateau=rule == "plateau"), rule == "steps"


def size_params(network: str, size: str) -> tuple:
    """The parameters of a network in one of its sizes, as config pairs."""
    return tuple(sorted(dict(NETWORKS[network].sizes[size]).items()))


def _device(kind: Kind) -> str:
    """The chosen device, or the best for this kind of data."""
    available = jobs.devices()
    best = next(name for name in ("cuda", "mps", "cpu") if name in available) if kind.training.prefers_gpu else "cpu"
    titles = {"auto": f"Automatic: {DEVICE_TITLES[best]}"} | {name: DEVICE_TITLES[name] for name in available}
    chosen = choose("Device", titles, "device", help="Networks of points and of short rows of bits are too small to gain from a GPU.")
    return best if chosen == "auto" else chosen


def cost_in_words(setup: Setup) -> str:
    """The cost of a run before it is started. Raises ValueError where the network does not fit the data."""
    run, device = setup.run, setup.job.device
    here = device in own_devices()  # otherwise its pace is known only once it trains
    relevant = TrainConfig(run.training.loss, batch=run.training.batch, optimiser=run.training.optimiser)
    estimate = _cost(run.network, setup.shape, relevant, run.schedule.T, device if here else "cpu", run.diffusion.kind == "binomial")
    words = f"{count(estimate.parameters)} parameters, about {estimate.memory_bytes / 1e6:,.0f} MB of memory"
    pace = f"{estimate.seconds_per_step:.2f} s" if estimate.seconds_per_step >= 0.1 else f"{1000 * estimate.seconds_per_step:.0f} ms"
    return f"{words}, about {pace} per step" if here else words


@st.cache_data(max_entries=64, show_spinner=False)
def _cost(network: NetworkConfig, shape: tuple[int, ...], training: TrainConfig, T: int, device: str, bits: bool) -> cost.Cost:
    """Measured once, as it takes about a second."""
    return cost.estimate(network, shape, training, T, device, bits=bits)
