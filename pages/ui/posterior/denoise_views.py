"""The Denoise page's controls and pictures."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.data import images, uploads
from dpm_core.data.toy2d import DataError
from dpm_core.figures.palette import DATA, MODEL
from dpm_core.figures.rasters import png
from dpm_core.inpainting.model_filling import incompatibility
from pages.ui import cache, session
from pages.ui.controls import widgets
from pages.ui.inpainting import controls
from pages.ui.kinds.images import picture_rows
from pages.ui.kinds.points import selected_point
from pages.ui.posterior import denoise_compute
from pages.ui.posterior.denoise_compute import DenoiseConfig, Result

RULE_TITLES = {
    "matched": "Start at the same noise",
    "constant": "r(x⁽ᵗ⁾) held constant (the paper)",
    "annealed": "r(x⁽ᵗ⁾) annealed",
}
SNRS = [0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0]
OWN_SIDE = 160  # pixels of a person's noisy picture: a network works on all of it, n times


def settings() -> tuple[cache.ModelRef, DenoiseConfig]:
    """The model and how it is used. Raises ValueError, in one sentence, where no model is at hand."""
    found = {}
    for name, path in checkpoints.list_checkpoints().items():
        run, shape = controls.described(cache.ModelRef.of(path))
        if run is not None and run.data.name in images.IMAGE_SETS and not images.available(run.data.name):
            found[name] = (path, run, shape)
    if not found:
        raise DataError("There is no model of images here; train one on the Train page first.")
    titles = {name: selected_point.model_title(path, path.stat().st_mtime) for name, (path, *_) in found.items()}
    first = next((name for name in ("mnist_unet", "digits_unet") if name in found), next(iter(found)))
    name = widgets.choose("Model", titles, "denoiser", first)
    path, run, shape = found[name]
    own = _own(run, shape)
    rule = widgets.choose("Multiplied by N(y; x, σ²)", RULE_TITLES, "denoise_rule")
    number, snr = 0, 1.0
    if own is None:
        number = widgets.whole("Which image", 0, 999, 0, "which_noisy", help="Of those that the model has not seen.")
        snr = widgets.linked(st.select_slider, "Signal-to-noise ratio", SNRS, 1.0, "{:g}".format, key="snr", help="The paper shows 1.")
    n = widgets.linked(st.select_slider, "Samples", [4, 8, 16, 32], 16, key="n_denoised")
    steps = widgets.linked(st.select_slider, "Steps of the whole chain", [25, 50, 100, 250], 50, key="denoise_steps")
    how = DenoiseConfig(number, snr, rule, n, steps, widgets.seed())
    if own is None:
        return cache.ModelRef.of(path), how
    pixels, sigma = own
    return cache.ModelRef.of(path), DenoiseConfig(0, 1.0, rule, n, steps, how.seed, pixels.tobytes(), pixels.shape, sigma)


def _own(run, shape: tuple[int, ...]) -> tuple[np.ndarray, float] | None:
    """A noisy picture of one's own that the model fits, and the strength of its noise in grey levels."""
    with st.expander("A noisy picture of your own"):
        file = st.file_uploader("A picture", type=["png", "jpg", "jpeg", "webp"], key="noisy_file")
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
            session.complain(f"This model does not fit {file.name}. {why}")
            return None
        guess = min(100.0, max(1.0, round(denoise_compute.guess_sigma(pixels), 1)))
        sigma = st.number_input("Its noise σ, in grey levels", 0.5, 200.0, guess, 1.0, help="Estimated from its finest grain.")
        return pixels, float(sigma)


def show(found: Result) -> None:
    """The row of pictures, each with its distance to the truth, and the samples below."""
    crisp = max(found.seen.shape[:2]) <= 64
    largest = float(found.spread.max()) or 1.0
    heat = np.round(255 * found.spread / largest).astype(np.uint8)
    cells = [
        *([("The truth", found.truth, "a held-out image")] if found.truth is not None else []),
        ("Seen, y", found.seen, f"σ = {found.sigma_levels:.0f} grey levels{_near(found, found.seen)}"),
        ("One sample", found.samples[0], f"as sharp as the data{_near(found, found.samples[0])}"),
        ("Mean of the samples", found.mean, f"nearest on average{_near(found, found.mean)}"),
        ("Their spread", heat, f"white: {largest:.0f} grey levels, where nobody can know"),
        ("Total variation", found.total_variation, f"no model{_near(found, found.total_variation)}"),
        ("Non-local means", found.non_local, f"no model{_near(found, found.non_local)}"),
    ]
    with st.container(key="denoise_row"):
        for start in range(0, len(cells), 4):
            for column, (title, picture, words) in zip(st.columns(4), cells[start : start + 4]):
                with column:
                    colour = MODEL.light if "sample" in title else DATA.light if title == "The truth" else ""
                    dot = f'<span style="color:{colour}">●</span> ' if colour else ""
                    st.html(f"{dot}<b>{title}</b>")
                    st.html(_image(picture, title, crisp))
                    st.caption(words)
    st.markdown(f"**{len(found.samples)} samples of what it may have been**")
    columns = min(8, len(found.samples))
    sheet = picture_rows.row(found.samples, columns, 96)
    st.html(
        f'<img src="{session.data_uri(sheet)}" alt="Samples of the posterior" style="width:100%;max-width:56rem;image-rendering:pixelated">'
    )


def _near(found: Result, picture: np.ndarray) -> str:
    return "" if found.truth is None else f": PSNR {denoise_compute.psnr(found.truth, picture):.1f} dB"


def _image(picture: np.ndarray, title: str, crisp: bool) -> str:
    look = "width:100%;max-width:300px;border-radius:12px;display:block;" + ("image-rendering:pixelated;" if crisp else "")
    return f'<img src="{session.data_uri(png(picture))}" alt="{title}" style="{look}">'


def python(ref: cache.ModelRef, how: DenoiseConfig) -> str:
    """The same as a program; of a person's own picture, with an image of the set in its place."""
    loaded = cache.model(ref)
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.data import sources
from dpm_core.posterior.denoising import corrupt, denoise

loaded = checkpoints.load({loaded.name!r})
images = sources.of_checkpoint(loaded.dataset, loaded.config.data)
x0 = images.sample_held_out(1, torch.Generator().manual_seed({denoise_compute.TRUTH_SEED + how.number}))[0]
y, sigma = corrupt(x0, {how.snr}, torch.Generator().manual_seed({denoise_compute.NOISE_SEED + how.seed}))
seed = torch.Generator().manual_seed({how.seed})
*_, last = denoise(loaded.model, y, sigma, {how.n}, rule={how.rule!r}, steps={how.steps}, generator=seed)
print(float((last.x.mean(0) - x0).square().mean() / sigma**2))  # of the noise, what is left
"""
