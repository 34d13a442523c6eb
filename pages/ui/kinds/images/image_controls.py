"""The data menu of pages that also take images, and what it gives: a frozen description of an image set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skimage
import streamlit as st
from PIL import Image

from dpm_core.config import DataConfig, Params
from dpm_core.data import bits, images, textures, uploads
from dpm_core.data.fetch import Progress
from dpm_core.data.toy2d import DataError
from pages.ui import session
from pages.ui.controls import widgets
from pages.ui.kinds.bits import bit_controls
from pages.ui.kinds.bits.bit_controls import BitSource

IMAGE_TITLES = {name: info.title for name, info in images.IMAGE_SETS.items()} | {
    "textures": "Your own textures",
    "image": "Your own picture",
}
MEGABYTES = {"mnist": 12, "fashion_mnist": 31, "cifar10": 170}  # of the files that are published
SIZES = (8, 16, 24, 32, 48, 64, 96, 128)
OWN_SIDE = 512  # pixels of the longer side of a person's picture: enough to cut from, quick to hash


@dataclass(frozen=True)
class ImageSource:
    """Where images come from: a set by name with its parameters, or the person's own picture as uint8 bytes."""

    name: str
    params: Params = ()
    pixels: bytes = b""
    size: tuple[int, ...] = ()  # (H, W) or (H, W, 3) of the picture
    title: str = ""

    def config(self) -> DataConfig:
        """The description that checkpoints and the command line use; it does not hold the picture."""
        return DataConfig(self.name, params=self.params)

    def picture(self) -> np.ndarray | None:
        """The person's picture, uint8 ``[H, W]`` or ``[H, W, 3]``; None for a set."""
        return np.frombuffer(self.pixels, np.uint8).reshape(self.size).copy() if self.size else None

    def dataset(self, progress: Progress | None = None) -> images.ImageDataset:
        """The data set itself; missing files are only downloaded when somebody follows the ``progress``. Raises DataError."""
        if progress is None and (sentence := images.available(self.name)):
            raise DataError(sentence)
        return images.make_images(self.name, self.params, self.picture(), progress)

    def whole(self, max_side: int) -> tuple[images.ImageSpec, np.ndarray]:
        """The person's whole picture, uint8 ``[C, H, W]`` no larger than ``max_side``, and its own constants."""
        picture = Image.fromarray(self.picture())
        picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        pixels = textures.from_upload(np.asarray(picture))[0]
        scale = float(np.sqrt(pixels.var(dtype=np.float64) + 1 / 12))
        return images.ImageSpec("image", self.title, pixels.shape, float(pixels.mean()) + 0.5, scale), pixels


def any_source(default: str = "swiss_roll", cuts: bool = True) -> widgets.PlaneSource | ImageSource | BitSource:
    """The data set, in the plane, of bits or of images. ``cuts`` is False where the person's picture is taken whole."""
    pictures = {name: title for name, title in IMAGE_TITLES.items() if name != "textures" or textures.folders()}
    titles = widgets.DATA_TITLES | bit_controls.BIT_TITLES | bit_controls.OWN_TITLES | pictures
    name = widgets.choose("Data", titles, "data", default)
    if name in widgets.DATA_TITLES:
        return widgets.plane_source(name)
    if name in bits.BIT_SETS or name in bit_controls.OWN_TITLES:
        if sentence := images.available(bits.FROM_IMAGES.get(name, "digits")):
            _offer(bits.FROM_IMAGES[name], sentence)
            return bit_controls.BitSource("binary_digits")
        return bit_controls.source(name)
    if sentence := images.available(name):
        _offer(name, sentence)
        return ImageSource("digits")
    if name == "image":
        source = _own()
        return ImageSource(source.name, _params(name, source.size), source.pixels, source.size, source.title) if cuts else source
    return ImageSource(name, _params(name))


def _params(name: str, picture: tuple[int, ...] = ()) -> Params:
    """What the set lets a person choose, under "More"; a picture allows no cuts larger than itself."""
    known = dict(images.IMAGE_SETS[name].params)
    if not known:
        return ()
    chosen = []
    with st.sidebar.expander("More"):
        if "folder" in known:
            folders = {folder: folder for folder in textures.folders()}
            chosen.append(("folder", widgets.choose("Folder of textures", folders, "folder")))
        if "size" in known:
            sizes = [side for side in SIZES if not picture or side <= min(picture[:2])]
            default = min(textures.DEFAULT_SIZE, sizes[-1])
            chosen.append(("size", widgets.linked(st.select_slider, "Size of the cuts (pixels)", sizes, default, key="size")))
        if "r_min" in known:
            for key, label in (("r_min", "Smallest radius"), ("r_max", "Largest radius")):
                help = "In pixels; an eighth of the size to the size of the cuts unless given."
                radius = widgets.linked(st.number_input, label, 0.5, 512.0, None, 1.0, key=key, placeholder="as fits", help=help)
                chosen += [(key, float(radius))] if radius is not None else []
    return tuple(sorted(chosen))


def _offer(name: str, sentence: str) -> None:
    """Say what is missing; download it when the person asks for that, with progress."""
    st.info(f"{sentence} Until then the digits are shown.")
    if name not in MEGABYTES or not st.button(f"Download {IMAGE_TITLES[name]}, {MEGABYTES[name]} MB", key="download"):
        return
    bar = st.progress(0.0, "Connecting …")

    def progress(file: str, done: int, total: int | None) -> None:
        bar.progress(min(1.0, done / total) if total else 0.0, f"{file}: {done / 1e6:.1f} MB")

    try:
        ImageSource(name).dataset(progress)
    except DataError as error:
        bar.empty()
        session.complain(str(error))
    else:
        st.rerun()


def _own() -> ImageSource:
    """The person's last good picture; a bad file leaves it in place."""
    file = st.file_uploader("A picture", type=["png", "jpg", "jpeg", "webp"], key="picture")
    if file is not None and st.session_state.get("picture_read", ("",))[0] != file.file_id:
        st.session_state["picture_read"] = (file.file_id, _read(file.name, file.getvalue()))
    if file is not None and (error := st.session_state["picture_read"][1]):
        session.complain(error)
    kept = st.session_state.get("own_picture")
    if kept is None:
        st.caption("Until then a cat is shown (Chelsea, by Stéfan van der Walt, CC0).")
        return _first_picture()
    st.caption(f"Showing {kept.title}.")
    return kept


def _read(title: str, raw: bytes) -> str:
    """Keep a file's picture for the session when it is one; else the error."""
    try:
        st.session_state["own_picture"] = _of(uploads.read_image(raw, OWN_SIDE), title)
    except DataError as error:
        return f"{title}: {error}"
    return ""


@st.cache_data(show_spinner=False)
def _first_picture() -> ImageSource:
    """The picture shown until the person brings one, from scikit-image's own folder (asking skimage.data could begin a download)."""
    path = Path(skimage.data_dir) / "chelsea.png"
    if path.is_file():
        return _of(uploads.read_image(path.read_bytes(), OWN_SIDE), "chelsea.png")
    return _of(textures.bundled("brick")[0, 0], "brick.png")


def _of(picture: np.ndarray, title: str) -> ImageSource:
    return ImageSource("image", (), picture.tobytes(), picture.shape, title)
