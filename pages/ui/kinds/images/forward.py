"""The Forward page with images: the chain, and the best linear estimate of its start."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from pages.ui import cache, session
from pages.ui.controls import widgets
from pages.ui.controls.schedule import python_schedule
from pages.ui.kinds.images import recordings, rows, stages
from pages.ui.kinds.images.source import ImageSource, is_sample
from pages.ui.kinds.records import Export, Playback, Snippet

COUNTS = (1, 4, 9, 16, 25, 36, 49, 64)


@dataclass(frozen=True)
class ForwardSettings:
    """How many images, and their seed."""

    n: int
    seed: int


def controls(source: ImageSource) -> ForwardSettings:
    """The settings, from controls; a person's own picture is one image."""
    return ForwardSettings(1 if source.pixels else number_of_images(), widgets.seed())


def number_of_images() -> int:
    """How many images."""
    return session.bind(st.select_slider, "Images", COUNTS, 16, key="images")


def playback(source: ImageSource, schedule: ScheduleConfig, settings: ForwardSettings) -> Playback:
    """The stage, the strip of eight times, and what can be downloaded. Raises DataError, ScheduleError."""
    shown = recordings.forward(source, schedule, settings.n, settings.seed)
    strip, times = recordings.strip(source, schedule, settings.seed)

    def show_below() -> None:
        st.markdown("**q(x⁽ᵗ⁾|x⁽⁰⁾) at eight times**, each drawn in one jump")
        rows.show_row(strip, [f"t = {t}" for t in times], f"The data at t = {', '.join(map(str, times))}")

    curves, t = cache.schedule(schedule), torch.from_numpy(shown.times)
    table = {"t": shown.times.tolist()} | {name: getattr(curves, name)(t).tolist() for name in ("beta", "alpha_bar", "log_snr")}
    films = (stages.grey_levels(shown.spec, shown.x), stages.grey_levels(shown.spec, shown.estimate))
    arrays = {"t": shown.times, "x": shown.x, "estimate": shown.estimate}
    gif = partial(rows.animation, films, session.is_dark())
    return Playback(shown.payload, Export("dpm-forward", _python(source, schedule, settings), arrays, table, gif), show_below)


def snippet(source: ImageSource, schedule: ScheduleConfig) -> Snippet:
    """The Python that makes an image set and its diffusion."""
    return Snippet(
        "from dpm_core.data.images import make_images\nfrom dpm_core.process import GaussianDiffusion\n"
        "from dpm_core.schedules import make_schedule",
        f"data = make_images({source.name!r}, {source.params!r})\ndiffusion = GaussianDiffusion({python_schedule(schedule)})",
    )


def _python(source: ImageSource, schedule: ScheduleConfig, settings: ForwardSettings) -> str:
    seed = settings.seed
    if source.pixels:
        imports = "from dpm_core.data.images import ImageSpec\nfrom dpm_core.data.uploads import read_image\n"
        imports += "import skimage\n" if is_sample(source) else ""
        path = f"skimage.data_dir + {'/' + source.title!r}" if is_sample(source) else repr(source.title)
        made = f"""picture = torch.from_numpy(read_image(open({path}, "rb").read(), {recordings.PHOTO_SIDE}))
pixels = picture[None] if picture.ndim == 2 else picture.permute(2, 0, 1)
mean, scale = pixels.double().mean().item() + 0.5, (pixels.double().var(correction=0) + 1 / 12).sqrt().item()
data = ImageSpec("image", "picture", tuple(pixels.shape), mean, scale)
x0 = data.standardise(pixels[None], torch.Generator().manual_seed({seed}))
diffusion = GaussianDiffusion({python_schedule(schedule)})"""
        imports += "from dpm_core.process import GaussianDiffusion\nfrom dpm_core.schedules import make_schedule"
    else:
        imports, statements = snippet(source, schedule)
        made = f"{statements}\nx0 = data.sample({settings.n}, torch.Generator().manual_seed({seed}))"
    return f"""import torch
{imports}

{made}
for t, x in diffusion.forward_steps(x0, torch.Generator().manual_seed({seed + 1})):
    if t % {max(1, schedule.T // 5)} == 0:
        print(t, float(x.mean()), float(x.var()), data.pixels(x).shape)
"""
