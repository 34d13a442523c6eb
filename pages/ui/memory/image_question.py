"""What the Memory page is asked about images: a trained network, and the local kernel beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dpm_core import checkpoints
from dpm_core.data.errors import DataError
from dpm_core.data.images import available
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.controls import widgets
from pages.ui.controls.model_titles import model_title
from pages.ui.kinds.images import IMAGES

TRAINING = (250, 500, 1000, 2000, 4000, 8000)
PLACES = {"0": "At the same place", "1": "Up to 1 pixel away", "2": "Up to 2 pixels away", "any": "Anywhere in the images"}
COUNTS = (4, 8, 16)
STEPS = 20  # of DDIM
LARGEST = 32  # pixels of a side: the work grows with the number of pixels and of training images


@dataclass(frozen=True)
class ImageQuestion:
    """``training``: images of the kernels; ``place``: where patches are compared, a key of PLACES; ``n`` samples."""

    ref: ModelRef
    training: int = 1000
    place: str = "0"
    n: int = 8
    seed: int = 7


def models() -> dict[str, Path]:
    """The checkpoints of small images whose data are available, by name."""
    found = {}
    for name, path in checkpoints.list_checkpoints().items():
        run, shape = cache.description(ModelRef.of(path))
        own = run is not None and IMAGES.owns(run.data.name) and run.data.name not in ("image", "textures")
        if own and run is not None and not available(run.data.name) and len(shape) == 3 and max(shape[1:]) <= LARGEST:
            found[name] = path
    return found


def controls() -> ImageQuestion:
    """The question, from controls. Raises DataError, CheckpointError."""
    offered = models()
    if not offered:
        raise DataError("There is no trained model of small images whose data are on this machine; train one first.")
    titles = {name: model_title(path) for name, path in offered.items()}
    name = widgets.choose("Model", titles, "memory_model", "digits_unet" if "digits_unet" in titles else None)
    training = session.bind(
        st.select_slider, "Training images of the kernels", list(TRAINING), 1000, key="memory_images",
        help="The local and the exact kernel know this many of the images on which the network was trained.",
    )  # fmt: skip
    place = widgets.choose(
        "Patches are compared with those", PLACES, "memory_place", "0",
        help="At the same place: the kernel is local. Elsewhere too: it is also equivariant under translations, as convolutions are.",
    )  # fmt: skip
    n = session.bind(st.select_slider, "Samples", list(COUNTS), 8, key="memory_samples")
    return ImageQuestion(ModelRef.of(offered[name]), int(training), place, int(n), widgets.seed())


def python_of(question: ImageQuestion) -> str:
    """The Python that fits the patches, samples with all kernels and prints the squared correlations."""
    from pages.ui.memory.image_compute import HELD_OUT, times_of

    loaded = cache.model(question.ref)
    anywhere = question.place == "any"
    package = "dpm_core.inpainting.patches import LocalPatchReverse" if anywhere else "dpm_core.reverse import LocalReverse"
    free = "LocalPatchReverse(training, diffusion, patch=lambda t: sides[min(sides, key=lambda known: abs(known - t))])"
    kernel = free if anywhere else f"LocalReverse(training, diffusion, sides, {question.place})"
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.data import sources
from dpm_core.measure.locality import fit_sides, sides_for, squared_correlation
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import ddim
from {package}

loaded = checkpoints.load({question.ref.name!r})
data, diffusion = sources.of_checkpoint(loaded.dataset, loaded.config.data), loaded.diffusion
training = data.different({question.training})

def local(sides):
    return {kernel}

fitted = fit_sides(
    loaded.model, diffusion, local, data.sample_held_out({HELD_OUT}, torch.Generator().manual_seed(51)),
    {times_of(loaded.diffusion.T)}, sides_for(data.shape[1:], inside={anywhere}), torch.Generator().manual_seed(52),
)
sides = {{t: side for t, side, _ in fitted}}
kernels = {{"network": loaded.model, "local": local(sides), "memoriser": EmpiricalReverse(training, diffusion)}}
x_T = torch.randn({question.n}, *data.shape, generator=torch.Generator().manual_seed({question.seed}))
samples = {{}}
for name, kernel in kernels.items():
    *_, (_, samples[name]) = ddim(kernel, diffusion, x_T, steps={STEPS})
for name in ("local", "memoriser"):
    print(name, squared_correlation(samples["network"], samples[name]))
"""
