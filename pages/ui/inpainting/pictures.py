"""The Inpaint page's pictures: samples that are at hand, one's own, or one that is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import skimage
import streamlit as st

from dpm_core.data import bits, images, textures, uploads
from dpm_core.data.toy2d import DataError
from pages.ui import cache, session
from pages.ui.components.painter import paint
from pages.ui.controls import widgets
from pages.ui.kinds.images.image_controls import ImageSource

PHOTOS = {
    "coffee": "Coffee",
    "astronaut": "Astronaut",
    "chelsea": "Chelsea, a cat",
    "camera": "Photographer",
    "rocket": "Rocket",
    "hubble_deep_field": "Hubble deep field",
}
TEXTURES = {"brick": "Brick", "grass": "Grass", "gravel": "Gravel"}
DIGITS = {"digits": "A digit, 8 × 8", "mnist": "A digit, 28 × 28 (MNIST)"}
DIGITS |= {"binary_digits": "A black and white digit, 8 × 8", "binary_mnist": "A black and white digit, 28 × 28 (MNIST)"}
OWN = {"own": "Your own picture", "drawn": "Draw a digit", "bits": "A sequence of bits"}
LONGEST = 1024  # pixels of a picture's longer side
SIDE = 28  # of a drawing, as MNIST has it
SAMPLE_SIDE = 384  # of a sample's: quick to fill, and still a picture


class Picture(NamedTuple):
    """What is painted on: uint8 ``[H, W]`` or ``[H, W, 3]``, and its name. Its pixels are the truth that a hole hides."""

    pixels: np.ndarray
    key: str
    title: str


def choose() -> Picture | str:
    """The picture, from controls; where it is made on the stage, "drawn" (see :func:`drawn`) or "bits". A bad file keeps the last."""
    photos = {name: title for name, title in PHOTOS.items() if _photo_path(name)}
    digits = {name: title for name, title in DIGITS.items() if not images.available(bits.FROM_IMAGES.get(name, name))}
    name = widgets.choose("Picture", photos | TEXTURES | digits | OWN, "picture_name", "brick")
    if name in photos:
        return Picture(photo(name), name, photos[name])
    if name in TEXTURES:
        return Picture(_texture(name), name, TEXTURES[name])
    if name in digits:
        number = widgets.whole("Which one", 0, 999, 3, f"which_{name}")
        pool = cache.images(ImageSource(bits.FROM_IMAGES.get(name, name))).held_out
        pixels = pool[number % len(pool), 0].numpy()
        pixels = np.where(pixels > bits.HALF_GREY, 255, 0).astype(np.uint8) if name in bits.FROM_IMAGES else pixels
        return Picture(pixels, f"{name}_{number}", f"{digits[name]}, number {number}")
    if name in ("drawn", "bits"):
        return name
    return _own()


@st.cache_data(max_entries=8, show_spinner=False)
def photo(name: str) -> np.ndarray:
    """A photograph from scikit-image's own folder, no larger than a sample is."""
    path = _photo_path(name)
    if path is None:
        raise DataError(f"{name} did not come with this scikit-image.")
    return uploads.read_image(path.read_bytes(), SAMPLE_SIDE)


def _photo_path(name: str) -> Path | None:
    paths = (Path(skimage.data_dir) / f"{name}.{end}" for end in ("png", "jpg"))
    return next((path for path in paths if path.is_file()), None)


@st.cache_data(max_entries=4, show_spinner=False)
def _texture(name: str) -> np.ndarray:
    return textures.bundled(name)[0, 0, :256, :256].copy()


def _own() -> Picture:
    file = st.file_uploader("A picture", type=["png", "jpg", "jpeg", "webp"], key="inpaint_file")
    if file is not None and st.session_state.get("inpaint_read", ("",))[0] != file.file_id:
        problem = ""
        try:
            pixels = uploads.read_image(file.getvalue(), LONGEST)
            st.session_state["inpaint_own"] = Picture(pixels, f"own_{file.file_id}", file.name)
        except DataError as error:
            problem = f"{file.name}: {error}"
        st.session_state["inpaint_read"] = (file.file_id, problem)
    if file is not None and (problem := st.session_state["inpaint_read"][1]):
        session.complain(problem)
    if (kept := st.session_state.get("inpaint_own")) is None:
        st.caption("Until then a cup of coffee is shown (by Rachel Michetti, CC0).")
        return Picture(photo("coffee"), "coffee", PHOTOS["coffee"])
    st.caption(f"Showing {kept.title}, {kept.pixels.shape[1]} × {kept.pixels.shape[0]} pixels.")
    return kept


def drawn() -> Picture:
    """The person's drawing; its canvas is the page until it is ready to be painted over."""
    drawing = st.session_state.setdefault("inpaint_drawing", np.zeros((SIDE, SIDE), np.uint8))
    step = st.segmented_control("First draw, then hide a part of it", ["Draw", "Hide"], default="Draw", key="drawing_step", required=True)
    if step == "Draw" or not drawing.any():
        painted = paint(drawing, None, key="drawing_canvas", mode="draw")
        if painted.problem:
            st.error(painted.problem)
        if painted.drawing is not None:
            st.session_state["inpaint_drawing"] = painted.drawing
        if step == "Hide":
            st.caption("There is nothing to hide yet: draw a digit first.")
        st.stop()
    return Picture(drawing, f"drawn_{hash(drawing.tobytes())}", "Your drawing")
