"""The Forward page with images, and what both pages show in the same way."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures import image_sheets
from dpm_core.figures.rasters import frame_numbers, png
from pages.ui import cache, page, session
from pages.ui.components.player import player
from pages.ui.controls import widgets
from pages.ui.kinds.images import image_stages, imaging
from pages.ui.kinds.images.image_controls import ImageSource

GIF_FRAMES = 61


def number_of_images(source: ImageSource | None = None) -> int:
    """How many images; a person's picture is one."""
    if source and source.pixels:
        return 1
    return widgets.linked(st.select_slider, "Images", [1, 4, 9, 16, 25, 36, 49, 64], 16, key="images")


def forward(source: ImageSource, schedule: ScheduleConfig, seed: int, n: int) -> None:
    """The player, the strip of eight times, and what can be taken along. Raises DataError and ScheduleError."""
    with page.working("Diffusing …"):
        shown = imaging.forward(source, schedule, n, seed)
        strip, times = imaging.strip(source, schedule, seed)
    player(shown.payload, key="forward")
    st.markdown("**q(x⁽ᵗ⁾) at eight times**, each drawn in one jump from x⁽⁰⁾")
    show_row(strip, [f"t = {t}" for t in times], f"The data at t = {', '.join(map(str, times))}")
    bars = cache.diffusion(schedule).schedule
    t = torch.from_numpy(shown.times)
    table = {"t": shown.times.tolist()} | {name: getattr(bars, name)(t).tolist() for name in ("beta", "alpha_bar", "log_snr")}
    films = (image_stages.seen(shown.spec, shown.x), image_stages.seen(shown.spec, shown.guess))
    arrays = {"t": shown.times, "x": shown.x, "guess": shown.guess}
    page.take_along("dpm-forward", _forward_python(source, schedule, seed, n), arrays, table, partial(film, films, dark()))


def dark() -> bool:
    """Whether the page is shown on dark ground."""
    return st.context.theme.type == "dark"


def film(panels: tuple[np.ndarray, ...], dark: bool) -> bytes:
    """Panels of grey levels as a GIF of at most GIF_FRAMES frames."""
    keep = frame_numbers(len(panels[0]), GIF_FRAMES)
    return image_sheets.gif([panel[keep] for panel in panels], dark)


def row(images: np.ndarray, columns: int | None = None, side: int = 128) -> bytes:
    """Images beside each other, or in ``columns``, as a PNG."""
    return png(image_sheets.sheet(images, columns or len(images), side, gap=8))


def show_row(picture: bytes, labels: list[str], said: str, share: float = 1 / 8) -> None:
    """A PNG of images in columns, a label under each; a column is as wide as ``share`` of the page at most."""
    spans = "".join(f"<span>{label}</span>" for label in labels)
    st.html(
        f'<div style="max-width:{min(100, 100 * len(labels) * share):g}%">'
        f'<img src="{session.data_uri(picture)}" alt="{said}" style="width:100%;display:block;image-rendering:pixelated">'
        f'<div style="display:grid;grid-template-columns:repeat({len(labels)},1fr);text-align:center;font-size:0.8rem;opacity:0.72;'
        f'font-variant-numeric:tabular-nums">{spans}</div></div>'
    )


def _forward_python(source: ImageSource, schedule: ScheduleConfig, seed: int, n: int) -> str:
    if source.pixels:
        own = st.session_state.get("own_picture") is not None
        imports = "from dpm_core.data.images import ImageSpec\nfrom dpm_core.data.uploads import read_image\n"
        imports += "" if own else "import skimage\n"
        path = repr(source.title) if own else f"skimage.data_dir + {'/' + source.title!r}"
        made = f"""picture = torch.from_numpy(read_image(open({path}, "rb").read(), {imaging.PHOTO_SIDE}))
pixels = picture[None] if picture.ndim == 2 else picture.permute(2, 0, 1)
mean, scale = pixels.double().mean().item() + 0.5, (pixels.double().var(correction=0) + 1 / 12).sqrt().item()
spec = ImageSpec("image", "picture", tuple(pixels.shape), mean, scale)
x0 = spec.standardise(pixels[None], torch.Generator().manual_seed({seed}))"""
    else:
        imports = "from dpm_core.data.images import make_images\n"
        made = f"""spec = make_images({source.name!r}, {source.params!r})
x0 = spec.sample({n}, torch.Generator().manual_seed({seed}))"""
    return f"""import torch
{imports}from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

{made}
diffusion = GaussianDiffusion({widgets.python_schedule(schedule)})
for t, x in diffusion.forward_steps(x0, torch.Generator().manual_seed({seed + 1})):
    if t % {max(1, schedule.T // 5)} == 0:
        print(t, float(x.mean()), float(x.var()), spec.pixels(x).shape)
"""
