"""The Inpaint page's pictures: samples, an upload, or a drawing."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from skimage.data import data_dir

from dpm_core.data import bits, images, uploads
from dpm_core.data.errors import DataError
from dpm_core.data.images import textures
from pages.ui import session
from pages.ui.components.painter import paint
from pages.ui.controls import widgets
from pages.ui.controls.file_upload import upload
from pages.ui.kinds.images.source import ImageSource, dataset

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
OWN = {"own": "Upload a picture", "drawn": "Draw a digit", "bits": "A sequence of bits"}
LONGEST = 1024  # pixels of a picture's longer side
SIDE = 28  # of a drawing, as MNIST has it
SAMPLE_SIDE = 384  # of a sample: small enough to fill quickly


class Picture(NamedTuple):
    """What is painted on: uint8 ``[H, W]`` or ``[H, W, 3]``, and its name. Completions are compared with its pixels."""

    pixels: np.ndarray
    key: str
    title: str


def choose() -> Picture | str:
    """The picture, from controls; "drawn" (see :func:`drawn`) or "bits" where it is made on the page. A bad file keeps the last one."""
    photos = {name: title for name, title in PHOTOS.items() if _photo_path(name)}
    digits = {name: title for name, title in DIGITS.items() if not images.available(bits.FROM_IMAGES.get(name, name))}
    name = widgets.choose("Picture", photos | TEXTURES | digits | OWN, "picture_name", "brick")
    if name in photos:
        return Picture(photo(name), name, photos[name])
    if name in TEXTURES:
        return Picture(_texture(name), name, TEXTURES[name])
    if name in digits:
        number = widgets.whole_number("Image number", 0, 999, 3, f"which_{name}")
        pool = dataset(ImageSource(bits.FROM_IMAGES.get(name, name))).held_out
        pixels = pool[number % len(pool), 0].numpy()
        pixels = np.where(pixels > bits.HALF_GREY, 255, 0).astype(np.uint8) if name in bits.FROM_IMAGES else pixels
        return Picture(pixels, f"{name}_{number}", f"{digits[name]}, number {number}")
    if name in ("drawn", "bits"):
        return name
    return _own()


@st.cache_data(max_entries=8, show_spinner=False)
def photo(name: str) -> np.ndarray:
    """A photograph from scikit-image's own folder, reduced to at most SAMPLE_SIDE pixels."""
    path = _photo_path(name)
    if path is None:
        raise DataError(f"The installed scikit-image does not contain the picture {name!r}; choose another one.")
    return uploads.read_image(path.read_bytes(), SAMPLE_SIDE)


def _photo_path(name: str) -> Path | None:
    paths = (Path(data_dir) / f"{name}.{end}" for end in ("png", "jpg"))
    return next((path for path in paths if path.is_file()), None)


@st.cache_data(max_entries=4, show_spinner=False)
def _texture(name: str) -> np.ndarray:
    return textures.bundled(name)[0, 0, :256, :256].copy()


def _own() -> Picture:
    picture = upload("Upload a picture", ["png", "jpg", "jpeg", "webp"], "inpaint_file", _read)
    if picture is None:
        st.caption("No picture has been uploaded yet, so a sample is shown (a cup of coffee, by Rachel Michetti, CC0).")
        return Picture(photo("coffee"), "coffee", PHOTOS["coffee"])
    st.caption(f"Showing {session.plain(picture.title)}, {picture.pixels.shape[1]} × {picture.pixels.shape[0]} pixels.")
    return picture


def _read(name: str, raw: bytes) -> Picture:
    pixels = uploads.read_image(raw, LONGEST)
    return Picture(pixels, f"own_{zlib.crc32(pixels.tobytes())}_{name}", name)


def drawn() -> Picture:
    """The person's drawing; its canvas is the page until it is ready to be painted over."""
    drawing = session.DIGIT_DRAWING.get()
    if drawing is None:
        kept = session.DIGIT_DRAWING_KEPT.find() or b""
        drawing = np.frombuffer(kept if len(kept) == SIDE**2 else bytes(SIDE**2), np.uint8).reshape(SIDE, SIDE)
        session.DIGIT_DRAWING.set(drawing)
    step = st.segmented_control(
        "First draw a digit, then mark the part to fill", ["Draw", "Mark"], default="Draw", key="drawing_step", required=True
    )
    if step == "Draw" or not drawing.any():
        painted = paint(drawing, None, key="drawing_canvas", mode="draw")
        if painted.problem:
            st.error(session.plain(painted.problem))
        if painted.drawing is not None:
            session.DIGIT_DRAWING.set(painted.drawing)
            session.DIGIT_DRAWING_KEPT.keep(painted.drawing.tobytes() if painted.drawing.any() else None)
        if step == "Mark":
            st.caption("The drawing is empty: draw a digit first.")
        st.stop()
    return Picture(drawing, f"drawn_{zlib.crc32(drawing.tobytes())}", "Your drawing")
