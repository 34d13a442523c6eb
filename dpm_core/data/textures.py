"""Pictures from which images are cut: the grey textures of scikit-image, folders of one's own, an upload."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpm_core.data.fetch import data_folder, find
from dpm_core.data.toy2d import DataError
from dpm_core.data.uploads import read_image

BUNDLED = ("brick", "grass", "gravel")  # 512 × 512 grey, CC0, in scikit-image's wheel
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SIZES = (8, 128)  # of the images cut, pixels
DEFAULT_SIZE = 32
MAX_PIXELS = 64_000_000  # of all pictures of one folder


def checked_size(size: int) -> int:
    """``size``. Raises DataError unless images of ``size`` × ``size`` pixels can be cut and learned here."""
    if not SIZES[0] <= size <= SIZES[1]:
        raise DataError(f"The size must lie between {SIZES[0]} and {SIZES[1]} pixels, not {size}.")
    return size


def split(pictures: np.ndarray, size: int, must: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """A part for training and a part for holding out of pictures ``[P, C, H, W]``, with no pixel in common.

    Held out is the last quarter of the longer side (the right one of a square), or ``size`` pixels where a
    quarter is narrower. A picture too small for both parts is all training and all held out, unless it
    ``must`` be split: then DataError.
    """
    height, width = pictures.shape[-2:]
    axis, length = (3, width) if width >= height else (2, height)
    kept = length - max(length // 4, size)
    if kept < size:
        if must:
            raise DataError(f"Images of {size} pixels need a picture of at least {2 * size} × {size}; this has {width} × {height}.")
        return pictures, pictures
    train, held_out = np.split(pictures, [kept], axis=axis)
    return train, held_out


def bundled(name: str) -> np.ndarray:
    """One of BUNDLED, uint8 ``[1, 1, 512, 512]``, from scikit-image or from "textures" in the data folder. Raises DataError."""
    if path := _bundled_path(name):
        return _grey(path)[None, None]
    raise DataError(missing(name) or f"{name} is not here.")


def load_folder(folder: str, size: int) -> np.ndarray:
    """All pictures of a folder in "textures" (or else in the data folder itself), in grey, uint8 ``[P, 1, H, W]``, by name.

    Pictures of different sizes keep their upper left part, as large as all have it. Raises DataError.
    """
    if folder in ("", ".", "..") or any(c in folder for c in "/\\:") or not folder.isprintable():
        raise DataError(f"Name a folder inside {data_folder() / 'textures'}, without slashes.")
    paths = _pictures(folder)
    if not paths:
        raise DataError(f"Put PNG, JPEG or WebP pictures into {data_folder() / 'textures' / folder}.")
    pictures: list[np.ndarray] = []
    for path in paths:
        pictures.append(picture := _grey(path))
        if sum(picture.size for picture in pictures) > MAX_PIXELS:
            raise DataError(f"The pictures of {folder} have more than {MAX_PIXELS // 10**6} million pixels; take some out.")
        if min(picture.shape) < size or max(picture.shape) < 2 * size:
            height, width = picture.shape
            raise DataError(f"{path.name} has {width} × {height} pixels; images of {size} pixels need {2 * size} × {size}, so take it out.")
    height, width = (min(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    return np.stack([picture[:height, :width] for picture in pictures])[:, None]


def folders() -> list[str]:
    """The folders that ``load_folder`` finds pictures in."""
    names = {path.name for parent in _parents() for path in _listed(parent) if path.is_dir()}
    return sorted(name for name in names if name != "textures" and _pictures(name))


def missing(name: str) -> str | None:
    """None when the texture, or for "textures" any folder of them, is here; else one sentence saying what to put where."""
    where = data_folder() / "textures"
    if name in BUNDLED:
        return None if _bundled_path(name) else f"Put {name}.png of scikit-image into {where}."
    return None if folders() else f"Put PNG, JPEG or WebP pictures into a folder of any name inside {where}."


def from_upload(image: np.ndarray) -> np.ndarray:
    """An uploaded picture, uint8 ``[H, W]`` or ``[H, W, 3]``, as ``[1, C, H, W]``. Raises DataError."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise DataError("A picture must be grey or RGB with 8 bits a channel; read it with read_image.")
    if min(image.shape[:2]) < SIZES[0]:
        raise DataError(f"A picture of at least {SIZES[0]} × {SIZES[0]} pixels is needed; this has {image.shape[1]} × {image.shape[0]}.")
    channels_first = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return np.ascontiguousarray(channels_first[None])


def _bundled_path(name: str) -> Path | None:
    """scikit-image's own file where its wheel has it (asking skimage.data could begin a download), else the data folder's."""
    import skimage

    path = Path(skimage.__file__).parent / "data" / f"{name}.png"
    return path if path.is_file() else find(("textures", "bark", ""), (f"{name}.png", f"skimage_{name}.png"))


def _pictures(folder: str) -> list[Path]:
    found = ([path for path in _listed(parent / folder) if path.suffix.lower() in SUFFIXES] for parent in _parents())
    return next(filter(None, found), [])


def _parents() -> tuple[Path, Path]:
    return data_folder() / "textures", data_folder()


def _listed(folder: Path) -> list[Path]:
    """What is in a folder, by name; nothing where there is no folder that can be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _grey(path: Path) -> np.ndarray:
    """The picture, uint8 ``[H, W]``; colours by ITU-R 601 luma, as in PIL's "L"."""
    try:
        image = read_image(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror or error}); check the file.") from None
    except DataError as error:
        raise DataError(f"{path.name}: {error}") from None
    return image if image.ndim == 2 else np.rint(image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
