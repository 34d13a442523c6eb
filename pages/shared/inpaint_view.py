"""The Inpaint page's parts: with what to fill, the stage, the completions and their scores."""

from __future__ import annotations

import json
import math
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import streamlit as st

from dpm_core import checkpoint
from dpm_core.config import RunConfig, from_dict
from dpm_core.inpainting import check, misfit
from dpm_core.pictures import png
from pages.shared import cached, controls, kernel_view, state
from pages.shared.filling import Filling, FillTask, Score, score
from pages.shared.painter import masks
from pages.shared.pictures_to_fill import Picture

PATCHES = "patches"
RULE_TITLES = {"noised": "Noised to level t", "clean": "Noise-free (the paper's code)", "repaint": "RePaint"}
PRESETS = {"half": "Left half", "centre": "Centre", "random": "At random", "text": "Text"}
COLUMNS = 4


def models(picture: Picture) -> tuple[dict[str, str], str]:
    """What can fill the picture, by name, and a sentence on what cannot."""
    found, others = [], []
    for name, path in checkpoint.list_checkpoints().items():
        run, shape = described(cached.ModelRef.of(path))
        if run is None or len(shape) != 3:
            continue
        if misfit(run, shape, picture.pixels):
            others.append(f"{shape[2]} × {shape[1]}")
        else:
            found.append((run.network.name != "unet", name, kernel_view.model_title(path, path.stat().st_mtime)))
    fits = {PATCHES: "Its own patches: nothing to train"} | {name: title for _, name, title in sorted(found)}  # U-Nets first
    sizes = ", ".join(dict.fromkeys(others))
    return fits, f"Trained models at hand that do not fit this picture make {sizes} pixels." if sizes and len(fits) == 1 else ""


@st.cache_data(max_entries=256, show_spinner=False)
def described(ref: cached.ModelRef) -> tuple[RunConfig | None, tuple[int, ...]]:
    """A checkpoint's run and the shape of its images, from its description alone; nothing where that cannot be read."""
    try:
        header = checkpoint.read_header(Path(ref.path))
        return from_dict(RunConfig, header["config"]), tuple(header["data"].get("shape", ()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None, ()


def settings(picture: Picture) -> tuple[str, int, int, dict]:
    """(model, completions, seed, options of fill_by_model), from controls."""
    fits, sentence = models(picture)
    small = max(picture.pixels.shape[:2]) <= 64
    # a model of whole pictures knows more of them than their own few patches do
    best = next((name for name in fits if name != PATCHES), PATCHES) if small else PATCHES
    name = controls.choose("Filled by", fits, f"filler_{'small' if small else 'large'}", best)
    if sentence:
        st.caption(sentence)
    options: dict = {}
    if name != PATCHES:
        T = cached.model(cached.ModelRef.of(checkpoint.list_checkpoints()[name])).diffusion.T
        options["rule"] = controls.choose("What is known is", RULE_TITLES, "known_rule", help="At every step t, on the way down.")
        sizes = [s for s in (10, 25, 50, 100, 250) if s <= T]
        options["steps"] = controls.linked(st.select_slider, "Steps", sizes, min(50, sizes[-1]), key="fill_steps")
        if options["rule"] == "repaint":
            options["jump"] = controls.whole("Jump length j", 1, 50, 5, "jump")
            options["resamplings"] = controls.whole("Resamplings r", 1, 20, 4, "resamplings")
    n = controls.linked(
        st.select_slider, "Completions", [1, 2, 3, 4, 8, 16] if name != PATCHES else [1, 2, 3, 4], 4, key=f"n_{name == PATCHES}"
    )
    return name, n, controls.seed(), options


def preset(shape: tuple[int, ...], name: str, seed: int) -> np.ndarray:
    """One of PRESETS as a mask."""
    make = {
        "half": lambda: masks.half(shape),
        "centre": lambda: masks.centre(shape),
        "random": lambda: masks.random(shape, 0.5, seed),
        "text": lambda: masks.text_strip(shape),
    }
    return make[name]()


def base(picture: Picture, seed: int) -> np.ndarray:
    """What is painted on: the picture, or a completion of it that was chosen. Another picture begins with a hole in its middle."""
    state = st.session_state
    if state.get("inpaint_on") != picture.key:
        if (old := state.get("inpaint_filling")) is not None:
            old.stop()
        state["inpaint_on"], state["inpaint_filling"], state["inpaint_base"] = picture.key, None, None
        state["inpaint_mask"], state["inpaint_problem"] = preset(picture.pixels.shape[:2], "centre", seed), ""
    return picture.pixels if state["inpaint_base"] is None else state["inpaint_base"]


def begin(picture: np.ndarray, missing: np.ndarray, name: str, n: int, seed: int, options: dict) -> None:
    """Start filling; where nothing can be filled, one sentence, and what was filled before stays."""
    state = st.session_state
    try:
        check(picture, missing)
        model = None if name == PATCHES else cached.model(cached.ModelRef.of(checkpoint.list_checkpoints()[name]))
    except (ValueError, KeyError, OSError) as error:
        state["inpaint_problem"] = str(error)
        return
    if (old := state["inpaint_filling"]) is not None:
        old.stop()
    state["inpaint_problem"] = ""
    state["inpaint_filling"] = Filling(FillTask(picture.copy(), missing.copy(), n, seed, model, options))


def shown(filling: Filling) -> dict[str, np.ndarray]:
    """The completion that the painter shows in the hole: the one being made, then the first."""
    latest = filling.latest
    if latest is not None:
        return {"result": latest.guess[0], "filled": filling.task.missing}
    return {"result": filling.done[0], "filled": filling.task.missing} if filling.done else {}


def paint_on(filling: Filling, i: int) -> None:
    """Go on with a completion as the picture, nothing painted yet."""
    state = st.session_state
    state["inpaint_base"], state["inpaint_mask"] = filling.done[i], np.zeros_like(filling.task.missing)
    state["inpaint_filling"] = None


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
    if filling.running:
        words = f"Filling, {filling.calls} calls of the kernel so far"
    else:
        ended = "Filled" if len(filling.done) == filling.task.n else f"Stopped; {len(filling.done)} of {filling.task.n} finished"
        words = f"{ended}, {filling.calls} calls of the kernel"
    st.progress(filling.share, words)
    _completions(filling, picture.pixels)
    if filling.done and not filling.busy:
        model = "own patches" if filling.task.model is None else filling.task.model.name
        data = archive(filling, picture.title, model)
        st.download_button("Download all (.zip)", data, "dpm-inpaint.zip", "application/zip", on_click="ignore", type="tertiary")


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
    crisp = "image-rendering:pixelated;" if max(picture.shape[:2]) <= 64 else ""
    return f'<img src="{state.data_uri(png(picture))}" alt="{title}" style="width:100%;border-radius:12px;display:block;{crisp}">'


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
