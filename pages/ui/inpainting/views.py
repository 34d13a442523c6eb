"""What the Inpaint page shows: ready-made masks, what is being filled, the completions and their scores."""

from __future__ import annotations

import json
import math
import zipfile
from io import BytesIO

import numpy as np
import streamlit as st

from dpm_core.figures.rasters import png
from pages.ui import session
from pages.ui.components.painter import masks
from pages.ui.inpainting.controls import PRESETS, preset
from pages.ui.inpainting.filling import Filling, FillTask, Score, score
from pages.ui.inpainting.picture_network import Learning
from pages.ui.inpainting.pictures import Picture
from pages.ui.training import panel

IN_THE_HOLE = {"guess": "What it believes, x̂⁽⁰⁾", "state": "The chain, x⁽ᵗ⁾"}
COLUMNS = 4


def shown(filling: Filling) -> dict[str, np.ndarray]:
    """The completion that the painter shows in the hole: the one being made, as the person wants to see it, then the first."""
    latest = filling.latest
    if latest is not None:
        pictures = latest.state if st.session_state.get("in_the_hole") == "state" else latest.guess
        return {"result": pictures[0], "filled": filling.task.missing}
    return {"result": filling.done[0], "filled": filling.task.missing} if filling.done else {}


def paint_on(filling: Filling, i: int) -> None:
    """Go on with a completion as the picture, nothing painted yet."""
    session = st.session_state
    session["inpaint_base"], session["inpaint_mask"] = filling.done[i], np.zeros_like(filling.task.missing)
    session["inpaint_filling"] = None


def start_anew() -> None:
    """The picture as it was brought; the mask stays."""
    st.session_state["inpaint_base"], st.session_state["inpaint_filling"] = None, None


def _put_mask(shape: tuple[int, ...], name: str, seed: int) -> None:
    st.session_state["inpaint_mask"] = preset(shape, name, seed)


@st.cache_data(max_entries=64, show_spinner=False)
def _scored(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> Score:
    return score(truth, found, missing)


def mask_menu(shape: tuple[int, ...], seed: int) -> None:
    """Masks that are ready-made, and the mask as a file: down, and up again."""
    with st.popover("Mask", key="mask_menu"):
        with st.container(horizontal=True):
            for name, title in PRESETS.items():
                st.button(title, on_click=_put_mask, args=(shape, name, seed), key=f"preset_{name}")
        png = masks.to_png(st.session_state["inpaint_mask"])
        st.download_button("Download the mask", png, "mask.png", "image/png", on_click="ignore", type="tertiary")
        _upload(shape)


def _upload(shape: tuple[int, ...]) -> None:
    file = st.file_uploader("Upload a mask, white where missing", type=["png"], key="mask_file")
    if file is not None and st.session_state.get("mask_read") != file.file_id:
        st.session_state["mask_read"] = file.file_id
        try:
            st.session_state["inpaint_mask"] = masks.read_png(file.getvalue(), shape)
            st.session_state["inpaint_problem"] = ""
        except ValueError as error:
            st.session_state["inpaint_problem"] = f"{file.name}: {error}"
        st.rerun()


def result(filling: Filling, picture: Picture) -> None:
    """How far it is, the completions side by side, and what can be taken along."""
    if filling.learning and filling.task.learning is not None:
        _learning(filling.task.learning, filling.running)
        return
    if filling.running:
        words = f"Filling, {filling.calls} calls of the kernel so far"
    else:
        ended = "Filled" if len(filling.done) == filling.task.n else f"Stopped; {len(filling.done)} of {filling.task.n} finished"
        words = f"{ended}, {filling.calls} calls of the kernel"
    st.progress(filling.share, words)
    _completions(filling, picture.pixels)
    if filling.done and not filling.busy:
        with st.container(horizontal=True, vertical_alignment="center"):
            data = archive(filling, picture.title, model_words(filling.task))
            st.download_button("Download all (.zip)", data, "dpm-inpaint.zip", "application/zip", on_click="ignore", type="tertiary")
            if filling.task.learning is not None:
                with st.popover("Keep the network", type="tertiary"):
                    panel.keep(filling.task.learning.job)


def model_words(task: FillTask) -> str:
    """What filled it."""
    if task.learning is not None:
        steps = f"a network of this picture after {task.learning.job.step:,} steps"
        return f"own patches and {steps}" if task.patches else steps
    return "own patches" if task.model is None else task.model.name


def _learning(learning: Learning, running: bool) -> None:
    """How far the network is that is waited for, and what it draws by now."""
    steps = f"{learning.job.step:,} steps"
    left = max(0.0, learning.seconds - learning.spent)
    words = learning.job.message or f"Learning this picture: {steps}, {left:.0f} s left"
    if learning.job.status == "queued":
        words = "Waiting until another run has trained; it starts by itself."
    if not running:
        words = f"Stopped learning after {steps}; filling again goes on."
    st.progress(min(1.0, learning.spent / learning.seconds), words)
    if (drawn := learning.drawn()) is not None:
        st.html(_image(drawn, "Cuts that the network draws by now"))
        st.caption("What it draws by now, from noise alone: cuts as it saw them.")


def _completions(filling: Filling, truth: np.ndarray) -> None:
    shown = list(filling.done)
    latest = filling.latest
    if latest is not None and len(shown) < filling.task.n:
        shown += list(latest.guess)[: filling.task.n - len(shown)]
    cells = [(f"Completion {i + 1}", one, i) for i, one in enumerate(shown)]
    if filling.baseline is not None:
        cells.append(("Biharmonic, to compare", filling.baseline, None))
    for start in range(0, len(cells), COLUMNS):
        for column, (title, one, i) in zip(st.columns(COLUMNS), cells[start : start + COLUMNS]):
            with column:
                st.html(_image(one, title))
                if i is not None and i >= len(filling.done):
                    st.caption(f"{title}, in the making")
                    continue
                st.caption(f"{title}: {_words(truth, one, filling.task.missing)}")
                if i is not None:
                    st.button("Paint on this", on_click=paint_on, args=(filling, i), key=f"use_{i}", type="tertiary")


def _words(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> str:
    near = _scored(truth, found, missing)
    psnr = f"{near.psnr:.1f} dB" if math.isfinite(near.psnr) else "∞"
    return f"PSNR {psnr}, SSIM {near.ssim:.3f}"


def _image(picture: np.ndarray, title: str) -> str:
    crisp = "image-rendering:pixelated;" if min(picture.shape[:2]) <= 64 else ""
    return f'<img src="{session.data_uri(png(picture))}" alt="{title}" style="width:100%;border-radius:12px;display:block;{crisp}">'


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
