"""The Denoise page's controls, pictures and downloads."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import RunConfig
from dpm_core.data import images, uploads
from dpm_core.data.errors import DataError
from dpm_core.figures.palette import DATA, MODEL
from dpm_core.figures.rasters import png
from dpm_core.inpainting.model_filling import incompatibility
from pages.ui import cache, session
from pages.ui.components.data_uri import data_uri
from pages.ui.controls.class_label import given_class
from pages.ui.controls.model_titles import model_title
from pages.ui.controls.widgets import choose, seed, whole_number
from pages.ui.kinds.images import rows
from pages.ui.kinds.records import Export
from pages.ui.posterior import denoise_compute
from pages.ui.posterior.denoise_compute import DenoiseConfig, Result

RULE_TITLES = {
    "matched": "Start at the matching noise level",
    "constant": "r constant in t (paper)",
    "annealed": "r annealed",
}
COLUMNS = 7  # all pictures stand in one row
SNRS = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0]
OWN_SIDE = 160  # pixels of an uploaded picture, of which the network computes n samples at once


def settings() -> tuple[cache.ModelRef, DenoiseConfig]:
    """The model and the settings. Raises DataError where there is no model of images."""
    found = {}
    for name, path in checkpoints.list_checkpoints().items():
        run, shape = cache.description(cache.ModelRef.of(path))
        if run is not None and run.data.name in images.IMAGE_SETS and not images.available(run.data.name):
            found[name] = (path, run, shape)
    if not found:
        raise DataError("There is no trained model of images. Train one on the Train page first.")
    titles = {name: model_title(path) for name, (path, *_) in found.items()}
    first = next((name for name in ("mnist_unet", "digits_unet") if name in found), next(iter(found)))
    name = choose("Model", titles, "denoiser", first)
    path, run, shape = found[name]
    ref = given_class(cache.ModelRef.of(path))
    own = _own(run, shape)
    rule = choose("Observation likelihood r(x) = N(y; x, σ²)", RULE_TITLES, "denoise_rule")
    number, snr = 0, 1.0
    if own is None:
        number = whole_number("Image number", 0, 999, 0, "which_noisy", help="One of the held-out images, on which no model was trained.")
        snr = session.bind(
            st.select_slider,
            "Signal-to-noise ratio",
            SNRS,
            1.0,
            "{:g}".format,
            key="snr",
            help="Variance of the image over that of the noise. The paper shows 1.",
        )
    n = session.bind(st.select_slider, "Samples", [4, 8, 16, 32], 16, key="n_denoised")
    steps = session.bind(st.select_slider, "Sampler steps from T to 0", [25, 50, 100, 250], 50, key="denoise_steps")
    how = DenoiseConfig(number, snr, rule, n, steps, seed())
    if own is None:
        return ref, how
    pixels, sigma = own
    return ref, DenoiseConfig(0, 1.0, rule, n, steps, how.seed, pixels.tobytes(), pixels.shape, sigma)


def _own(run: RunConfig, shape: tuple[int, ...]) -> tuple[np.ndarray, float] | None:
    """An uploaded noisy picture that fits the model, and the standard deviation of its noise in grey levels."""
    with st.expander("Upload a noisy picture"):
        file = st.file_uploader("Upload a picture", type=["png", "jpg", "jpeg", "webp"], key="noisy_file")
        if file is None:
            return None
        try:
            pixels = uploads.read_image(file.getvalue(), OWN_SIDE)
        except DataError as error:
            session.complain(f"{file.name}: {error}")
            return None
        if shape[0] == 1 and pixels.ndim == 3:
            pixels = np.round(pixels @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
        if why := incompatibility(run, shape, pixels):
            session.complain(f"This model cannot be used for {file.name}. {why}")
            return None
        estimate = min(100.0, max(1.0, round(denoise_compute.estimate_sigma(pixels), 1)))
        sigma = st.number_input(
            "Noise σ in grey levels", 0.5, 200.0, estimate, 1.0, help="The proposed value is estimated from the picture."
        )
        return pixels, float(sigma)


def show(found: Result) -> None:
    """The pictures with their distance to the original, and the samples below."""
    crisp = max(found.seen.shape[:2]) <= 64
    largest = float(found.spread.max()) or 1.0
    heat = np.round(255 * found.spread / largest).astype(np.uint8)
    cells = [
        *([("Original", found.truth, "held-out image")] if found.truth is not None else []),
        ("Observation y", found.seen, f"σ = {found.sigma_levels:.0f} grey levels{_near(found, found.seen)}"),
        ("Posterior sample", found.samples[0], f"one draw from p(x | y){_near(found, found.samples[0])}"),
        ("Posterior mean", found.mean, f"mean of the samples{_near(found, found.mean)}"),
        ("Std. deviation", heat, f"of the samples; white: {largest:.0f} grey levels"),
        ("Total variation", found.total_variation, f"denoising without a model{_near(found, found.total_variation)}"),
        ("Non-local means", found.non_local, f"denoising without a model{_near(found, found.non_local)}"),
    ]
    with st.container(key="denoise_row"):
        for start in range(0, len(cells), COLUMNS):
            for column, (title, picture, words) in zip(st.columns(COLUMNS), cells[start : start + COLUMNS]):
                with column:
                    colour = MODEL.light if title.startswith("Posterior") else DATA.light if title == "Original" else ""
                    dot = f'<span style="color:{colour}">●</span> ' if colour else ""
                    st.html(f"{dot}<b>{title}</b>")
                    st.html(_image(picture, title, crisp))
                    st.caption(words)
    st.markdown(f"**{len(found.samples)} posterior samples**")
    columns = min(8, len(found.samples))
    sheet = rows.row(found.samples, columns, 96)
    st.html(f'<img src="{data_uri(sheet)}" alt="Samples of the posterior" style="width:100%;max-width:56rem;image-rendering:pixelated">')


def _near(found: Result, picture: np.ndarray) -> str:
    return "" if found.truth is None else f": PSNR {denoise_compute.psnr(found.truth, picture):.1f} dB"


def _image(picture: np.ndarray, title: str, crisp: bool) -> str:
    look = "width:100%;max-width:300px;border-radius:12px;display:block;" + ("image-rendering:pixelated;" if crisp else "")
    return f'<img src="{data_uri(png(picture))}" alt="{title}" style="{look}">'


def export(ref: cache.ModelRef, how: DenoiseConfig, found: Result) -> Export:
    """The pictures as arrays, and the Python."""
    arrays = {name: value for name, value in found._asdict().items() if value is not None and name != "sigma_levels"}
    return Export("dpm-denoise", _python(ref, how), arrays)


def _python(ref: cache.ModelRef, how: DenoiseConfig) -> str:
    """The Python that does the same; an uploaded picture is replaced by an image of the data set."""
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.data import sources
from dpm_core.posterior.denoising import corrupt, denoise

loaded = {ref.python}
images = sources.of_checkpoint(loaded.dataset, loaded.config.data){ref.python_class}
x0 = images.sample_held_out(1, torch.Generator().manual_seed({denoise_compute.TRUTH_SEED + how.number}))[0]
y, sigma = corrupt(x0, {how.snr}, torch.Generator().manual_seed({denoise_compute.NOISE_SEED + how.seed}))
seed = torch.Generator().manual_seed({how.seed})
*_, last = denoise(loaded.model, y, sigma, {how.n}, rule={how.rule!r}, steps={how.steps}, generator=seed)
print(float((last.x.mean(0) - x0).square().mean() / sigma**2))  # remaining error, relative to the noise
"""
