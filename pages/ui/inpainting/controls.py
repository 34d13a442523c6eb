"""The Inpaint page's controls: with what to fill, what is painted on, and what Fill does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.config import RunConfig, from_dict
from dpm_core.inpainting.model_filling import check, incompatibility
from pages.ui import cache
from pages.ui.components.painter import masks
from pages.ui.controls import widgets
from pages.ui.inpainting.filling import Filling, FillTask
from pages.ui.inpainting.picture_network import Learning
from pages.ui.inpainting.pictures import Picture
from pages.ui.kinds.points import selected_point

PATCHES, OWN, BOTH = "patches", "own", "both"
LEARNED_HERE = {OWN: "A network of this picture, trained here", BOTH: "Its own patches and that network"}
SECONDS = {15: "15 s", 30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min"}
USUAL_SECONDS = 60
RULE_TITLES = {"noised": "Noised to level t", "clean": "Noise-free (the paper's code)", "repaint": "RePaint"}
PRESETS = {"half": "Left half", "centre": "Centre", "random": "At random", "text": "Text"}
LEAVE = 1.0  # seconds for which an older filling is waited for


def models(picture: Picture) -> tuple[dict[str, str], str]:
    """What can fill the picture, by name, and a sentence on what cannot."""
    found, others = [], []
    black_and_white = bool(np.isin(picture.pixels, (0, 255)).all())
    for name, path in checkpoints.list_checkpoints().items():
        run, shape = described(cache.ModelRef.of(path))
        if run is None or len(shape) != 3:
            continue
        if incompatibility(run, shape, picture.pixels):
            others.append(f"{shape[2]} × {shape[1]}")
        else:
            other_kind = (run.diffusion.kind == "binomial") != black_and_white
            found.append((other_kind, run.network.name != "unet", name, selected_point.model_title(path, path.stat().st_mtime)))
    trained = {name: title for *_, name, title in sorted(found)}  # U-Nets of such pictures first
    fits = {PATCHES: "Its own patches: nothing to train"} | LEARNED_HERE | trained
    sizes = ", ".join(dict.fromkeys(others))
    return fits, f"Trained models at hand that do not fit this picture make {sizes} pixels." if sizes and not trained else ""


@st.cache_data(max_entries=256, show_spinner=False)
def described(ref: cache.ModelRef) -> tuple[RunConfig | None, tuple[int, ...]]:
    """A checkpoint's run and the shape of its images, from its description alone; nothing where that cannot be read."""
    try:
        header = checkpoints.read_header(Path(ref.path))
        return from_dict(RunConfig, header["config"]), tuple(header["data"].get("shape", ()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        return None, ()


def settings(picture: Picture) -> tuple[str, int, int, dict]:
    """(model, completions, seed, options of fill_by_model), from controls."""
    fits, sentence = models(picture)
    small = max(picture.pixels.shape[:2]) <= 64
    # a model of whole pictures knows more of them than their own few patches do
    best = next((name for name in fits if name not in (PATCHES, OWN, BOTH)), PATCHES) if small else PATCHES
    name = widgets.choose("Filled by", fits, f"filler_{'small' if small else 'large'}", best)
    if sentence:
        st.caption(sentence)
    options: dict = {}
    if name in LEARNED_HERE:
        options["seconds"] = widgets.linked(
            st.select_slider, "Train for", list(SECONDS), USUAL_SECONDS, key="learn_seconds", format_func=SECONDS.get,
            help="On cuts without anything that is missing. What was learned of this picture is kept, and more of it goes on from there.",
        )  # fmt: skip
    if name not in (PATCHES, BOTH):
        T = 1000 if name == OWN else cache.model(cache.ModelRef.of(checkpoints.list_checkpoints()[name])).diffusion.T
        options["rule"] = widgets.choose("What is known is", RULE_TITLES, "known_rule", help="At every step t, on the way down.")
        sizes = [s for s in (10, 25, 50, 100, 250) if s <= T]
        options["steps"] = widgets.linked(st.select_slider, "Steps", sizes, min(50, sizes[-1]), key="fill_steps")
        if options["rule"] == "repaint":
            options["jump"] = widgets.whole("Jump length j", 1, 50, 5, "jump")
            options["resamplings"] = widgets.whole("Resamplings r", 1, 20, 4, "resamplings")
    slow = name in (PATCHES, BOTH)
    n = widgets.linked(st.select_slider, "Completions", [1, 2, 3, 4] if slow else [1, 2, 3, 4, 8, 16], 4, key=f"n_{slow}")
    return name, n, widgets.seed(), options


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
        if (old := state["inpaint_filling"]) is not None:
            old.stop()
            old.wait(LEAVE)
        model = learning = None
        if name in LEARNED_HERE:
            learning = state["inpaint_learning"] = _learn(picture, missing, options["seconds"], seed)
            options = {key: value for key, value in options.items() if key != "seconds"}
        elif name != PATCHES:
            model = cache.model(cache.ModelRef.of(checkpoints.list_checkpoints()[name]))
    except (ValueError, KeyError, OSError) as error:
        state["inpaint_problem"] = str(error)
        return
    state["inpaint_problem"] = ""
    state["inpaint_filling"] = Filling(FillTask(picture.copy(), missing.copy(), n, seed, model, options, learning, name == BOTH))


def _learn(picture: np.ndarray, missing: np.ndarray, seconds: float, seed: int) -> Learning:
    """A network of this picture that trains for so long all in all: the one there is, where it may be used."""
    before: Learning | None = st.session_state.get("inpaint_learning")
    if before is None or not before.knows(picture, missing) or before.job.status == "failed":
        return Learning(picture, missing, seconds, seed)
    return before if before.spent >= 0.98 * seconds else Learning(before.picture, before.missing, seconds, seed, before)
