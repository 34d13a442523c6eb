"""Images cut from larger pictures: the grey textures of scikit-image, and folders of the user's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress, data_folder, find
from dpm_core.data.images.cuts import DEFAULT_SIZE, SIZES, checked_size, split
from dpm_core.data.images.registry import Pools, image_set
from dpm_core.data.uploads import PICTURES, read_image

BUNDLED = ("brick", "grass", "gravel")  # 512 × 512 grey, CC0, part of scikit-image's wheel
MAX_PIXELS = 64_000_000  # of all pictures of one folder


def bundled(name: str) -> np.ndarray:
    """One of BUNDLED, uint8 ``[1, 1, 512, 512]``, from scikit-image or from "textures" in the data folder. Raises DataError."""
    if path := _bundled_path(name):
        return _grey(path)[None, None]
    raise DataError(missing(name) or f"The texture {name} is not on this machine.")


def load_folder(folder: str, size: int) -> np.ndarray:
    """All pictures of a folder in "textures" (or else in the data folder itself), in grey, uint8 ``[P, 1, H, W]``, by name.

    Of pictures of different sizes the largest common upper left part is used. Raises DataError.
    """
    if folder in ("", ".", "..") or any(c in folder for c in "/\\:") or not folder.isprintable():
        raise DataError(f"{folder!r} is not the name of a folder inside {data_folder() / 'textures'}; give the name without slashes.")
    paths = _pictures(folder)
    if not paths:
        raise DataError(f"The folder {folder!r} holds no pictures; put PNG, JPEG or WebP files into {data_folder() / 'textures' / folder}.")
    pictures: list[np.ndarray] = []
    for path in paths:
        pictures.append(picture := _grey(path))
        if sum(picture.size for picture in pictures) > MAX_PIXELS:
            raise DataError(f"The pictures of {folder} have more than {MAX_PIXELS // 10**6} million pixels together; remove some.")
        if min(picture.shape) < size or max(picture.shape) < 2 * size:
            height, width = picture.shape
            raise DataError(f"{path.name} has {width} × {height} pixels; images of {size} pixels need {2 * size} × {size}, so remove it.")
    height, width = (min(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    return np.stack([picture[:height, :width] for picture in pictures])[:, None]


def folders() -> list[str]:
    """The folders that ``load_folder`` finds pictures in."""
    names = {path.name for parent in _parents() for path in _listed(parent) if path.is_dir()}
    return sorted(name for name in names if name != "textures" and _pictures(name))


def missing(name: str) -> str | None:
    """None when the texture (for "textures": any folder of them) is on this machine; else one sentence that says what to put where."""
    where = data_folder() / "textures"
    if name in BUNDLED:
        return None if _bundled_path(name) else f"Put {name}.png of scikit-image into {where}."
    return None if folders() else f"Put PNG, JPEG or WebP pictures into a folder of any name inside {where}."


def from_upload(image: np.ndarray) -> np.ndarray:
    """An uploaded picture, uint8 ``[H, W]`` or ``[H, W, 3]``, as ``[1, C, H, W]``. Raises DataError."""
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise DataError(
            f"The picture is {image.dtype} of shape {image.shape}; it must be grey or RGB with 8 bits a channel, (H, W) or (H, W, 3)."
        )
    if min(image.shape[:2]) < SIZES[0]:
        raise DataError(f"The picture has {image.shape[1]} × {image.shape[0]} pixels; at least {SIZES[0]} × {SIZES[0]} are needed.")
    channels_first = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return np.ascontiguousarray(channels_first[None])


def _bundled_path(name: str) -> Path | None:
    """The file in scikit-image's wheel if it is there (skimage.data could start a download), else in the data folder."""
    import skimage

    path = Path(skimage.__file__).parent / "data" / f"{name}.png"
    return path if path.is_file() else find(("textures", "bark", ""), (f"{name}.png", f"skimage_{name}.png"))


def _pictures(folder: str) -> list[Path]:
    found = ([path for path in _listed(parent / folder) if path.suffix.lower() in PICTURES] for parent in _parents())
    return next(filter(None, found), [])


def _parents() -> tuple[Path, Path]:
    return data_folder() / "textures", data_folder()


def _listed(folder: Path) -> list[Path]:
    """The contents of a folder by name; empty where the folder does not exist or cannot be read."""
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


def _register(name: str, title: str, description: str) -> None:
    @image_set(name, title, description, (("size", DEFAULT_SIZE),), missing=lambda: missing(name))
    def cuts(progress: Progress | None, size: int) -> Pools:
        return Pools(*split(bundled(name), checked_size(size)), size=size)


_register("brick", "Brick", "Cuts from a brick wall (scikit-image, CC0).")
_register("grass", "Grass", "Cuts from a lawn (scikit-image, CC0).")
_register("gravel", "Gravel", "Cuts from a gravel path (scikit-image, CC0).")


@image_set(
    "textures",
    "Your own textures",
    "Cuts from all pictures of one folder, such as bark.",
    (("folder", None), ("size", DEFAULT_SIZE)),
    needs_files=True,
    missing=lambda: missing("textures"),
    types={"folder": str},
)
def textures(progress: Progress | None, folder: str | None, size: int) -> Pools:
    """Cuts of ``size`` × ``size`` pixels from all pictures of a folder in "textures". Raises DataError."""
    if folder is None:
        raise DataError(f"No folder of textures is chosen; available are: {', '.join(folders()) or 'none yet'}.")
    return Pools(*split(load_folder(folder, checked_size(size)), size), size=size)
