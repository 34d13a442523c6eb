"""Data sets of images: their description and the menu's controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import streamlit as st
from PIL import Image
from skimage.data import data_dir

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import DataConfig, Params
from dpm_core.data import images, uploads
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.images import ImageDataset, ImageSpec, textures
from pages.ui import session
from pages.ui.controls.file_upload import upload
from pages.ui.controls.widgets import choose

TITLES = {name: info.title for name, info in images.IMAGE_SETS.items()} | {"textures": "Your own textures", "image": "Your own picture"}
MEGABYTES = {"mnist": 12, "fashion_mnist": 31, "cifar10": 170}  # of the published files
SIZES = (8, 16, 24, 32, 48, 64, 96, 128)
OWN_SIDE = 512  # pixels of the longer side of a person's picture: enough to cut from, quick to hash


@dataclass(frozen=True)
class ImageSource:
    """Where images come from: a set by name with its parameters, or a person's own picture as uint8 bytes.

    ``size``: (H, W) or (H, W, 3) of the picture. ``spec``: what a checkpoint knows of its images, which need not be available.
    """

    kind: ClassVar[str] = "images"
    name: str
    params: Params = ()
    pixels: bytes = b""
    size: tuple[int, ...] = ()
    title: str = ""
    spec: ImageSpec | None = None

    def config(self) -> DataConfig:
        """The description that checkpoints and the command line use; it does not hold the picture."""
        return DataConfig(self.name, params=self.params)

    def picture(self) -> np.ndarray | None:
        """The person's picture, uint8 ``[H, W]`` or ``[H, W, 3]``; None for a set."""
        return np.frombuffer(self.pixels, np.uint8).reshape(self.size).copy() if self.size else None

    def dataset(self, progress: Progress | None = None) -> ImageDataset:
        """The data set itself. Missing files are downloaded only where ``progress`` is followed. Raises DataError."""
        if progress is None and (sentence := images.available(self.name)):
            raise DataError(sentence)
        return images.make_images(self.name, self.params, self.picture(), progress)

    def whole(self, max_side: int) -> tuple[ImageSpec, np.ndarray]:
        """The person's whole picture, uint8 ``[C, H, W]``, reduced to at most ``max_side`` pixels, with constants of its own.

        Raises DataError for a set of images.
        """
        if (own := self.picture()) is None:
            raise DataError(f"The data set {self.name!r} is a set of images, not one picture.")
        picture = Image.fromarray(own)
        picture.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        pixels = textures.from_upload(np.asarray(picture))[0]
        scale = float(np.sqrt(pixels.var(dtype=np.float64) + 1 / 12))
        return ImageSpec("image", self.title, pixels.shape, float(pixels.mean()) + 0.5, scale), pixels

    @classmethod
    def of_checkpoint(cls, loaded: Checkpoint) -> ImageSource:
        """What a checkpoint was trained on."""
        spec = spec_of_checkpoint(loaded)
        own = ImageSpec(spec.name, spec.title, spec.shape, spec.mean, spec.scale, spec.levels)
        return cls(loaded.config.data.name, loaded.config.data.params, title=spec.title, spec=own)


@st.cache_resource(max_entries=8, show_spinner=False)
def dataset(source: ImageSource) -> ImageDataset:
    """The image set of a source, cached. Raises DataError where its files are missing: nothing is downloaded here."""
    return source.dataset()


def spec_of_checkpoint(loaded: Checkpoint) -> ImageSpec:
    """What a checkpoint of images stores of them."""
    return cast(ImageSpec, loaded.dataset)


def spec_of(source: ImageSource) -> ImageSpec:
    """What a model must know of its images."""
    return source.spec or dataset(source).spec


def titles() -> dict[str, str]:
    """The image sets in the menu."""
    return {name: title for name, title in TITLES.items() if name != "textures" or textures.folders()}


def controls(name: str, whole: bool) -> ImageSource:
    """The image set of a name, with its own controls. ``whole``: a person's picture is taken uncut."""
    if sentence := images.available(name):
        offer_download(name, sentence)
        return ImageSource("digits")
    if name == "image":
        source = _own()
        if whole:
            return source
        return ImageSource(source.name, _params(name, source.size), source.pixels, source.size, source.title)
    return ImageSource(name, _params(name))


def _params(name: str, picture: tuple[int, ...] = ()) -> Params:
    """The parameters of a set, under "More"; cuts are no larger than the picture."""
    known = dict(images.IMAGE_SETS[name].params)
    if not known:
        return ()
    chosen: list[tuple[str, Any]] = []
    with st.sidebar.expander("More"):
        if "folder" in known:
            folders = {folder: folder for folder in textures.folders()}
            chosen.append(("folder", choose("Folder of textures", folders, "folder")))
        if "size" in known:
            sizes = [side for side in SIZES if not picture or side <= min(picture[:2])]
            default = min(textures.DEFAULT_SIZE, sizes[-1])
            chosen.append(("size", session.bind(st.select_slider, "Size of the cuts (pixels)", sizes, default, key="size")))
        if "r_min" in known:
            for key, label in (("r_min", "Smallest radius"), ("r_max", "Largest radius")):
                help = "In pixels. By default the radii range from an eighth of the size of the cuts to that size."
                radius = session.bind(st.number_input, label, 0.5, 512.0, None, 1.0, key=key, placeholder="default", help=help)
                chosen += [(key, float(radius))] if radius is not None else []
    return tuple(sorted(chosen))


def offer_download(name: str, sentence: str) -> None:
    """Say which files are missing, and download them on a click, with progress."""
    st.info(f"{sentence} The digits are shown instead.")
    if name not in MEGABYTES or not st.button(f"Download {TITLES[name]}, {MEGABYTES[name]} MB", key="download"):
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
    """The person's last picture that could be read; until then a sample."""
    source = upload("Upload a picture", ["png", "jpg", "jpeg", "webp"], "picture", _read)
    if source is None:
        st.caption("No picture has been uploaded yet, so a sample is shown (Chelsea the cat, by Stéfan van der Walt, CC0).")
        return _sample()
    st.caption(f"Showing {session.plain(source.title)}.")
    return source


def _read(title: str, raw: bytes) -> ImageSource:
    return _of(uploads.read_image(raw, OWN_SIDE), title)


@st.cache_data(show_spinner=False)
def _sample() -> ImageSource:
    """A picture from scikit-image's own folder (asking skimage.data could begin a download)."""
    path = Path(data_dir) / SAMPLE
    if path.is_file():
        return _of(uploads.read_image(path.read_bytes(), OWN_SIDE), path.name)
    return _of(textures.bundled("brick")[0, 0], "brick.png")


SAMPLE = "chelsea.png"


def is_sample(source: ImageSource) -> bool:
    """Whether the picture is the sample and no upload."""
    return source == _sample()


def _of(picture: np.ndarray, title: str) -> ImageSource:
    return ImageSource("image", (), picture.tobytes(), picture.shape, title)
