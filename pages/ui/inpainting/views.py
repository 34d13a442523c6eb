"""What the Inpaint page shows: the painter with its buttons, masks, progress, and the completions with their scores."""

from __future__ import annotations

import json
import math
import zipfile
from io import BytesIO
from typing import TypedDict

import numpy as np
import streamlit as st

from dpm_core.figures.rasters import png
from pages.ui import session
from pages.ui.components.data_uri import data_uri
from pages.ui.components.painter import masks, paint
from pages.ui.controls.save_checkpoint import save_form
from pages.ui.inpainting import controls
from pages.ui.inpainting.controls import PRESETS, preset
from pages.ui.inpainting.filling import Filling, FillTask, Score, score
from pages.ui.inpainting.picture_network import PictureNetwork
from pages.ui.inpainting.pictures import Picture

IN_THE_HOLE = {"guess": "Estimate x̂⁽⁰⁾", "state": "State x⁽ᵗ⁾"}
POLL = 0.4  # seconds between two updates while a hole is being filled
COLUMNS = 4


def stage(picture: Picture, base: np.ndarray, how: tuple[str, int, int, dict], polled: bool) -> None:
    """The painter, its buttons and, while a hole is being filled, the progress."""
    name, n, seed, options = how
    filling = session.FILLING.get(Filling)
    shown = InTheHole() if filling is None else in_the_hole(filling)
    painted = paint(base, session.MASK.get(), key="inpaint_canvas", before=picture.pixels, **shown)
    session.MASK.set(painted.mask)
    controls.keep_mask(picture, painted.mask, seed)
    running = filling is not None and filling.running

    def fill() -> None:
        controls.begin(base, session.MASK.get(), name, n, seed, options)  # the mask as it is when the button is pressed

    with st.container(horizontal=True, vertical_alignment="center", key="inpaint_buttons"):
        st.button("Fill", on_click=fill, type="primary", key="fill", disabled=running, width=84)
        st.button("Stop", on_click=None if filling is None else filling.stop, key="stop_filling", disabled=not running, width=84)
        mask_menu(base.shape[:2], seed)
        if running:
            st.segmented_control(
                "In the hole",
                list(IN_THE_HOLE),
                default="guess",
                format_func=lambda name: IN_THE_HOLE.get(name, ""),
                key="in_the_hole",
                label_visibility="collapsed",
            )
        if session.PICTURE_BASE.get() is not None:
            st.button("Back to the original", on_click=start_anew, key="anew", type="tertiary")
    for problem in (painted.problem, session.INPAINT_ERROR.get(), filling and filling.problem):
        if problem:
            st.error(session.plain(problem))
    if filling is not None and not filling.problem:
        result(filling, picture)
    if (filling is not None and filling.busy) != polled:
        st.rerun()


class InTheHole(TypedDict, total=False):
    """Arguments of the painter: a completion, and the mask for which it was made; none before the first."""

    result: np.ndarray
    filled: np.ndarray


def in_the_hole(filling: Filling) -> InTheHole:
    """What the painter shows in the hole: the estimate or the state of the completion in progress, then the first completion."""
    latest = filling.latest
    if latest is not None:
        pictures = latest.state if session.widget_value("in_the_hole", "guess") == "state" else latest.guess
        return {"result": pictures[0], "filled": filling.task.missing}
    return {"result": filling.done[0], "filled": filling.task.missing} if filling.done else {}


def paint_on(filling: Filling, i: int) -> None:
    """Make a completion the picture that is painted on, with an empty mask."""
    session.PICTURE_BASE.set(filling.done[i])
    session.MASK.set(np.zeros_like(filling.task.missing))
    session.FILLING.set(None)


def start_anew() -> None:
    """Return to the original picture; the mask stays."""
    session.PICTURE_BASE.set(None)
    session.FILLING.set(None)


def _put_mask(shape: tuple[int, ...], name: str, seed: int) -> None:
    session.MASK.set(preset(shape, name, seed))


@st.cache_data(max_entries=64, show_spinner=False)
def _scored(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> Score:
    return score(truth, found, missing)


def mask_menu(shape: tuple[int, ...], seed: int) -> None:
    """Predefined masks, and the mask as a file to download or upload."""
    with st.popover("Mask", key="mask_menu"):
        with st.container(horizontal=True):
            for name, title in PRESETS.items():
                st.button(title, on_click=_put_mask, args=(shape, name, seed), key=f"preset_{name}")
        png = masks.to_png(session.MASK.get())
        st.download_button("Download mask", png, "mask.png", "image/png", on_click="ignore", type="tertiary")
        _upload(shape)


def _upload(shape: tuple[int, ...]) -> None:
    file = st.file_uploader("Upload mask (white = missing)", type=["png"], key="mask_file")
    if file is not None and session.MASK_FILE.get() != file.file_id:
        session.MASK_FILE.set(file.file_id)
        try:
            session.MASK.set(masks.read_png(file.getvalue(), shape))
            session.INPAINT_ERROR.set("")
        except ValueError as error:
            session.INPAINT_ERROR.set(f"{file.name}: {error}")
        st.rerun()


def result(filling: Filling, picture: Picture) -> None:
    """Progress, the completions side by side, and what can be downloaded."""
    if filling.training and filling.task.network is not None:
        _network_progress(filling.task.network, filling.running)
        return
    if filling.running:
        words = f"Filling: {filling.calls} kernel evaluations so far"
    else:
        ended = "Filled" if len(filling.done) == filling.task.n else f"Stopped with {len(filling.done)} of {filling.task.n} completions"
        words = f"{ended}: {filling.calls} kernel evaluations"
    st.progress(filling.share, words)
    _completions(filling, picture.pixels)
    if filling.done and not filling.busy:
        with st.container(horizontal=True, vertical_alignment="center"):
            data = archive(filling, picture.title, model_words(filling.task))
            st.download_button("Download all (.zip)", data, "dpm-inpaint.zip", "application/zip", on_click="ignore", type="tertiary")
            if filling.task.network is not None:
                with st.popover("Save network", type="tertiary"):
                    save_form(filling.task.network.job)


def model_words(task: FillTask) -> str:
    """The model that filled the hole, in words."""
    if task.network is not None:
        steps = f"network trained on this picture for {task.network.job.step:,} steps"
        return f"patches of this picture and {steps}" if task.patches else steps
    return "patches of this picture" if task.model is None else task.model.name


def _network_progress(network: PictureNetwork, running: bool) -> None:
    """The progress of the network in training, and its samples."""
    steps = f"{network.job.step:,} steps"
    left = max(0.0, network.seconds - network.spent)
    words = network.job.message or f"Training on this picture: {steps}, {left:.0f} s left"
    if network.job.status == "queued":
        words = "Queued behind another run; training starts automatically."
    if not running:
        words = f"Training stopped after {steps}. Fill continues it."
    st.progress(min(1.0, network.spent / network.seconds), words)
    if (samples := network.samples()) is not None:
        st.html(_image(samples, "Samples of the network"))
        st.caption("Samples of the network, generated from noise: crops like those it is trained on.")


def _completions(filling: Filling, truth: np.ndarray) -> None:
    shown = list(filling.done)
    latest = filling.latest
    if latest is not None and len(shown) < filling.task.n:
        shown += list(latest.guess)[: filling.task.n - len(shown)]
    cells: list[tuple[str, np.ndarray, int | None]] = [(f"Completion {i + 1}", one, i) for i, one in enumerate(shown)]
    if filling.baseline is not None:
        cells.append(("Biharmonic (baseline)", filling.baseline, None))
    for start in range(0, len(cells), COLUMNS):
        for column, (title, one, i) in zip(st.columns(COLUMNS), cells[start : start + COLUMNS]):
            with column:
                st.html(_image(one, title))
                if i is not None and i >= len(filling.done):
                    st.caption(f"{title}, in progress")
                    continue
                st.caption(f"{title}: {_words(truth, one, filling.task.missing)}")
                if i is not None:
                    st.button("Edit this completion", on_click=paint_on, args=(filling, i), key=f"use_{i}", type="tertiary")


def _words(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> str:
    near = _scored(truth, found, missing)
    psnr = f"{near.psnr:.1f} dB" if math.isfinite(near.psnr) else "∞"
    return f"PSNR {psnr}, SSIM {near.ssim:.3f}"


def _image(picture: np.ndarray, title: str) -> str:
    crisp = "image-rendering:pixelated;" if min(picture.shape[:2]) <= 64 else ""
    return f'<img src="{data_uri(png(picture))}" alt="{title}" style="width:100%;border-radius:12px;display:block;{crisp}">'


def archive(filling: Filling, title: str, model: str) -> bytes:
    """The completions, the mask and the settings in one .zip."""
    out, task = BytesIO(), filling.task
    described = {
        "picture": title,
        "model": model,
        "seed": task.seed,
        "completions": len(filling.done),
        "calls": filling.calls,
        **task.options,
    }
    with zipfile.ZipFile(out, "w") as zipped:
        for i, one in enumerate(filling.done, 1):
            zipped.writestr(f"completion-{i}.png", png(one))
        zipped.writestr("mask.png", masks.to_png(task.missing))
        zipped.writestr("settings.json", json.dumps(described, indent=2, ensure_ascii=False))
    return out.getvalue()
