"""The Train page's controls: what to learn, with what, how and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.checkpoints import stored_data
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, TrainConfig
from dpm_core.data import sources
from dpm_core.networks import SIZES
from dpm_core.training import cost, usual_precision
from pages.ui import cache
from pages.ui.cache import Source
from pages.ui.controls import widgets
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.images import image_controls
from pages.ui.kinds.images.image_controls import ImageSource

NETWORKS = {"plane": ("mlp", "rbf"), "images": ("unet", "multiscale"), "bits": ("bit_mlp", "sigmoid", "unet")}
NETWORK_TITLES = {"mlp": "MLP", "rbf": "Radial basis (the paper's)", "unet": "U-Net", "multiscale": "Multi-scale (the paper's)"}
NETWORK_TITLES |= {"bit_mlp": "MLP", "sigmoid": "Sigmoid layers (the paper's)"}
SIZE_TITLES = {"small": "Small", "medium": "Medium", "large": "Large"}
LOSS_TITLES = {"bound": "The bound, −K", "simple": "Simple (ε)"}
STOP_TITLES = {"steps": "After so many steps", "seconds": "After a time", "plateau": "When K stops rising", "never": "Never: until stopped"}
DEVICE_TITLES = {"cpu": "Processor", "cuda": "GPU (CUDA)", "mps": "GPU (Apple)"}
RATES = [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 4e-3, 6e-3, 1e-2, 2e-2]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048]
UNNAMED = "run"
WATCH = {"plane": 1000, "images": 16, "bits": 64}  # samples in every snapshot
SAMPLE_STEPS = {"plane": 20, "images": 20, "bits": 50}
HELD_OUT = {"plane": 2000, "images": 360, "bits": 1000}


@dataclass(frozen=True)
class Setup:
    """Everything that the sidebar says. ``name`` is empty where the run may be named by the page."""

    source: Source
    job: jobs.JobConfig
    name: str = ""

    @property
    def run(self) -> RunConfig:
        """The run's description; two set-ups that only differ in the learning rate are the same run, as it may change on the way."""
        return self.job.run

    def same(self, other: Setup | None) -> bool:
        """Whether a run started from ``other`` is what these controls describe."""
        return other is not None and (_without_rate(self), self.source) == (_without_rate(other), other.source)

    @property
    def images(self) -> bool:
        """Whether the data are images."""
        return isinstance(self.source, ImageSource)

    @property
    def kind(self) -> str:
        """ "plane", "images" or "bits"."""
        return kind_of(self.source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum."""
        return stored_data.shape(cache.data(self.source))

    def named(self, name: str) -> jobs.JobConfig:
        """The job's description under a name. Raises CheckpointError for one that is no file name."""
        return replace(self.job, name=name)


def _without_rate(setup: Setup) -> jobs.JobConfig:
    training = replace(setup.run.training, learning_rate=1.0)
    return replace(setup.job, name=UNNAMED, run=replace(setup.run, training=training))


def kind_of(source: Source) -> str:
    """ "plane", "images" or "bits"."""
    return "bits" if isinstance(source, BitSource) else "images" if isinstance(source, ImageSource) else "plane"


@st.cache_resource(max_entries=16, show_spinner=False)
def held_out(source: Source) -> torch.Tensor:
    """Data that no step trains on, by which K is measured."""
    generator = torch.Generator().manual_seed(11)
    kind, data = kind_of(source), cache.data(source)
    return data.sample(HELD_OUT[kind], generator) if kind == "plane" else data.sample_held_out(HELD_OUT[kind], generator)


def data_config(source: Source) -> DataConfig:
    """A source as a run's description names it."""
    if kind_of(source) != "plane":
        return source.config()
    data = cache.dataset(source)
    return DataConfig(data.name, data.noise)


def setup() -> Setup:
    """The sidebar. Raises DataError, ScheduleError or ConfigError when the data or the numbers make no sense."""
    source = image_controls.any_source("digits")
    kind, data = kind_of(source), cache.data(source)
    proposed, best = (make(data, data_config(source)) for make in (sources.live_run, sources.usual_run))
    like, schedules = proposed.training, {run.schedule.name: run.schedule for run in (best, proposed)}
    own = "" if kind == "plane" else f"_{kind}"  # a number for points means nothing for images, so each kind keeps its own
    shape = stored_data.shape(data)
    fitting = [name for name in NETWORKS[kind] if name != "unet" or min(shape[1:], default=0) >= sources.SMALLEST_PICTURE]
    titles = {name: NETWORK_TITLES[name] for name in fitting}
    network = widgets.choose("Network", titles, f"network{own}", proposed.network.name)
    size = widgets.linked(
        st.segmented_control, "Size", list(SIZE_TITLES), default="small", format_func=SIZE_TITLES.get, key="net_size", required=True
    )
    rate = widgets.linked(
        st.select_slider, "Learning rate", RATES, like.learning_rate, lambda v: f"{v:g}", key=f"rate{own}",
        help="May be changed while training: the next step already uses it.",
    )  # fmt: skip
    with st.sidebar.expander("Schedule, batch, device"):
        stop_by = widgets.choose("Stop", STOP_TITLES, "stop_by")
        if stop_by in ("steps", "plateau"):
            steps = widgets.whole("Steps" if stop_by == "steps" else "At most, steps", 1, 1_000_000, like.steps, f"max_steps{own}", 500)
        if stop_by == "seconds":
            seconds = widgets.whole("Seconds", 1, 86_400, 60, "seconds", 30)
        name = widgets.choose("Schedule", widgets.SCHEDULE_TITLES, "schedule", proposed.schedule.name)
        T = widgets.whole("Steps T of the chain", 2, 2000, proposed.schedule.T, f"T{own}")
        batch = widgets.linked(st.select_slider, "Batch", BATCHES, like.batch, key=f"batch{own}")
        losses = LOSS_TITLES | ({"simple": "Simple (cross entropy)"} if kind == "bits" else {})
        loss = widgets.choose("Loss", losses, f"loss{own}", like.loss)
        ema = widgets.linked(
            st.select_slider, "Average of the weights (EMA)", [0.0, 0.9, 0.99, 0.999, 0.9999], 0.999, key="ema",
            help="Samples and K come from a moving average of the weights, which is steadier than the weights.",
        )  # fmt: skip
        seed = widgets.whole("Seed", 0, 9999, 0, "train_seed", help="The same seed gives the same run.")
        device = _device(kind)
        compiled = device == "cuda" and widgets.linked(
            st.toggle, "Compile the network", False, key="compile",
            help="Takes a minute before the first step; small networks then take several steps in the time of one.",
        )  # fmt: skip
        own_name = widgets.linked(st.text_input, "Name of the run", "", max_chars=64, key="run_name", placeholder="by itself").strip()
    stop = jobs.Stop(
        steps=steps if stop_by in ("steps", "plateau") else None,
        seconds=float(seconds) if stop_by == "seconds" else None,
        plateau=stop_by == "plateau",
    )
    known = stop_by == "steps"
    training = replace(
        like, loss=loss, steps=steps if known else 1_000_000, batch=batch, learning_rate=rate, ema=ema, seed=seed,
        decay="cosine" if known else "none", precision=usual_precision(device),
    )  # fmt: skip
    schedule = replace(schedules[name], T=T) if name in schedules else widgets.with_points(name, T)
    run = RunConfig(data_config(source), schedule, NetworkConfig(network, size_params(network, size)), training, proposed.diffusion)
    watch = WATCH["images"] if len(shape) > 1 else WATCH[kind]
    config = jobs.JobConfig(UNNAMED, run, stop, device, compile=compiled, watch=watch, sample_steps=SAMPLE_STEPS[kind])
    return Setup(source, config, own_name)


def size_params(network: str, size: str) -> tuple:
    """The parameters of a network in one of its sizes, as config pairs."""
    return tuple(sorted(dict(SIZES[network][size]).items()))


def _device(kind: str) -> str:
    """The device asked for, or the best for this kind of work."""
    there = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), *(["mps"] if torch.backends.mps.is_available() else [])]
    best = "cpu" if kind != "images" else next(name for name in ("cuda", "mps", "cpu") if name in there)
    titles = {"auto": f"Automatic: {DEVICE_TITLES[best].lower()}"} | {name: DEVICE_TITLES[name] for name in there}
    chosen = widgets.choose("Device", titles, "device", help="Work on points and short rows of bits is too small for a GPU.")
    return best if chosen == "auto" else chosen


def cost_in_words(setup: Setup) -> str:
    """What a run will take, before it is started. Raises ValueError where the network does not fit the data."""
    guess = _cost(
        setup.run.network,
        setup.shape,
        setup.run.training.loss,
        setup.run.training.batch,
        setup.run.schedule.T,
        setup.job.device,
        setup.kind == "bits",
    )
    pace = f"{guess.seconds_per_step:.2f} s" if guess.seconds_per_step >= 0.1 else f"{1000 * guess.seconds_per_step:.0f} ms"
    return f"{count(guess.parameters)} parameters, about {guess.memory_bytes / 1e6:,.0f} MB and {pace} per step"


@st.cache_data(max_entries=64, show_spinner=False)
def _cost(network: NetworkConfig, shape: tuple[int, ...], loss: str, batch: int, T: int, device: str, bits: bool) -> cost.Cost:
    """Measured once: it takes about a second."""
    return cost.estimate(network, shape, TrainConfig(loss=loss, batch=batch), T, device, bits=bits)


def count(n: int) -> str:
    """A number of parameters with two digits."""
    return f"{n / 1e6:.2g} million" if n >= 1e6 else f"{n:,}"
