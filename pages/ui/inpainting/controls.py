"""The Inpaint page's controls: the model that fills, its options, and what the Fill button does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.inpainting.model_filling import check_mask, incompatibility
from pages.ui import cache, rights, session
from pages.ui.components.painter import masks
from pages.ui.controls.class_label import given_class
from pages.ui.controls.model_titles import model_title
from pages.ui.controls.widgets import choose, whole_number
from pages.ui.controls.widgets import seed as page_seed
from pages.ui.inpainting.filling import Filling, FillTask
from pages.ui.inpainting.picture_network import PictureNetwork
from pages.ui.inpainting.pictures import Picture
from pages.ui.inpainting.rules import RULE_HELP, RULE_TITLES

PATCHES, OWN, BOTH = "patches", "own", "both"
TRAINED_HERE = {OWN: "Network trained on this picture", BOTH: "Patches and a network trained on this picture"}
SECONDS = {15: "15 s", 30: "30 s", 60: "1 min", 120: "2 min", 300: "5 min", 600: "10 min"}
DEFAULT_SECONDS = 60
PRESETS = {"half": "Left half", "centre": "Centre", "random": "Random pixels", "text": "Text"}
STOP_SECONDS = 1.0  # for which the page waits for an older filling to stop


def models(picture: Picture) -> tuple[dict[str, str], str]:
    """The models that can fill the picture, by name, and a sentence on those that cannot."""
    found, others = [], []
    black_and_white = bool(np.isin(picture.pixels, (0, 255)).all())
    for name, path in checkpoints.list_checkpoints().items():
        run, shape = cache.description(cache.ModelRef.of(path))
        if run is None or len(shape) != 3:
            continue
        if incompatibility(run, shape, picture.pixels):
            others.append(f"{shape[2]} × {shape[1]}")
        else:
            other_kind = (run.diffusion.kind == "binomial") != black_and_white
            found.append((other_kind, run.network.name != "unet", run.network.classes > 0, name, model_title(path)))
    trained = {name: title for *_, name, title in sorted(found)}  # U-Nets of pictures of this kind first
    fits = {PATCHES: "Patches of this picture (no training)"} | TRAINED_HERE | trained
    sizes = ", ".join(dict.fromkeys(others))
    return fits, f"The trained models make pictures of {sizes} pixels, so none of them fits this picture." if sizes and not trained else ""


def settings(picture: Picture) -> tuple[str, int, int, dict]:
    """(model, completions, seed, options of fill_by_model), from controls."""
    fits, sentence = models(picture)
    small = max(picture.pixels.shape[:2]) <= 64
    # a small picture has few patches: a model of whole pictures fills it better
    best = next((name for name in fits if name not in (PATCHES, OWN, BOTH)), PATCHES) if small else PATCHES
    name = choose("Model", fits, f"filler_{'small' if small else 'large'}", best)
    if sentence:
        st.caption(sentence)
    options: dict = {}
    if name in TRAINED_HERE:
        options["seconds"] = session.bind(
            st.select_slider, "Training time", list(SECONDS), DEFAULT_SECONDS, key="learn_seconds", format_func=SECONDS.get,
            help="The network is trained on crops that contain no missing pixel. Training for longer continues from where it stopped.",
        )  # fmt: skip
    if name not in (PATCHES, BOTH):
        T = 1000
        if name != OWN:
            ref = given_class(cache.ModelRef.of(checkpoints.list_checkpoints()[name]))
            T, options["given"] = cache.model(ref).diffusion.T, (ref.label, ref.guidance)
        options["rule"] = choose("Known pixels during sampling", RULE_TITLES, "known_rule", help=RULE_HELP)
        sizes = [s for s in (10, 25, 50, 100, 250) if s <= T]
        options["steps"] = session.bind(st.select_slider, "Sampler steps", sizes, min(50, sizes[-1]), key="fill_steps")
        if options["rule"] == "repaint":
            options["jump"] = whole_number("Jump length j (steps)", 1, 50, 5, "jump")
            options["resamplings"] = whole_number("Resamplings r", 1, 20, 4, "resamplings")
    slow = name in (PATCHES, BOTH)
    n = session.bind(st.select_slider, "Completions", [1, 2, 3, 4] if slow else [1, 2, 3, 4, 8, 16], 4, key=f"n_{slow}")
    return name, n, page_seed(), options


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
    """What is painted on: the picture, or a completion of it that was chosen. A new picture starts with a hole in its centre."""
    if session.PICTURE_SHOWN.get() != picture.key:
        if (old := session.FILLING.get(Filling)) is not None:
            old.stop()
        session.PICTURE_SHOWN.set(picture.key)
        session.FILLING.set(None)
        session.PICTURE_BASE.set(None)
        session.MASK.set(_kept_mask(picture, preset(picture.pixels.shape[:2], "centre", seed)))
        session.INPAINT_ERROR.set("")
    chosen = session.PICTURE_BASE.get()
    return picture.pixels if chosen is None else chosen


def keep_mask(picture: Picture, mask: np.ndarray, seed: int) -> None:
    """Let the link find the mask of this picture again; a link without one stands for the hole in the centre."""
    untouched = np.array_equal(mask, preset(mask.shape, "centre", seed))
    session.MASK_KEPT.keep(None if untouched else picture.key.encode() + b"\0" + np.packbits(mask).tobytes())


def _kept_mask(picture: Picture, default: np.ndarray) -> np.ndarray:
    """The mask that the link names, if it is one of this picture."""
    key, _, bits = (session.MASK_KEPT.find() or b"").partition(b"\0")
    if key != picture.key.encode() or len(bits) != -(-default.size // 8):
        return default
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=default.size).astype(bool).reshape(default.shape)


def begin(picture: np.ndarray, missing: np.ndarray, name: str, n: int, seed: int, options: dict) -> None:
    """Start filling. Where nothing can be filled the reason is shown in one sentence, and earlier completions stay."""
    try:
        check_mask(picture, missing)
        if name in TRAINED_HERE:
            rights.check_start()
        if (old := session.FILLING.get(Filling)) is not None:
            old.stop()
            old.wait(STOP_SECONDS)
        model = network = None
        if name in TRAINED_HERE:
            network = _picture_network(picture, missing, options["seconds"], seed)
            session.PICTURE_NETWORK.set(network)
            options = {key: value for key, value in options.items() if key != "seconds"}
        elif name != PATCHES:
            label, guidance = options["given"]
            model = cache.model(replace(cache.ModelRef.of(checkpoints.list_checkpoints()[name]), label=label, guidance=guidance))
            options = {key: value for key, value in options.items() if key != "given"}
    except (ValueError, KeyError, OSError) as error:
        session.INPAINT_ERROR.set(str(error))
        return
    session.INPAINT_ERROR.set("")
    session.FILLING.set(Filling(FillTask(picture.copy(), missing.copy(), n, seed, model, options, network, name == BOTH)))


def _picture_network(picture: np.ndarray, missing: np.ndarray, seconds: float, seed: int) -> PictureNetwork:
    """A network of this picture that trains for so long in all: the one trained before, where it can be used."""
    before = session.PICTURE_NETWORK.get(PictureNetwork)
    if before is None or not before.can_fill(picture, missing) or before.job.status == "failed":
        return PictureNetwork(picture, missing, seconds, seed)
    return before if before.spent >= 0.98 * seconds else PictureNetwork(before.picture, before.missing, seconds, seed, before)
