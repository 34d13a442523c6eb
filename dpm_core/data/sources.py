"""Any data set by what a person types: a name, or the path of their own file."""

from __future__ import annotations

from pathlib import Path

from dpm_core.config import DataConfig, Params
from dpm_core.data import toy2d, uploads
from dpm_core.data.fetch import Progress
from dpm_core.data.images import IMAGE_SETS, ImageDataset, ImageSpec, make_images
from dpm_core.data.toy2d import DataError, PlaneDataset

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
TABLES = (".csv", ".tsv", ".txt")


def make(
    name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None
) -> tuple[PlaneDataset | ImageDataset, DataConfig]:
    """The data set, and the config that describes it. ``name`` may be the path of a table of points or of a picture.

    Raises DataError for an unknown name, parameter or file.
    """
    path = Path(name)
    if path.suffix.lower() in PICTURES:
        picture = uploads.read_image(_read(path))
        return make_images("image", params, picture), DataConfig("image", params=params)
    if name in IMAGE_SETS:
        return make_images(name, params, progress=progress), DataConfig(name, params=params)
    if params:
        raise DataError("Parameters of the data are for images; points take --noise.")
    if path.suffix.lower() in TABLES:
        points = uploads.read_csv(_read(path))
        dataset = toy2d.from_points(points, title=path.stem[:40], noise=toy2d.OWN_NOISE if noise is None else noise)
    else:
        dataset = toy2d.make_dataset(name, noise)
    return dataset, DataConfig(dataset.name, dataset.noise)


def of_checkpoint(dataset: PlaneDataset | ImageSpec, config: DataConfig) -> PlaneDataset | ImageDataset:
    """The data themselves, for a checkpoint that knows only what a model must know of them. Raises DataError."""
    if not isinstance(dataset, ImageSpec) or isinstance(dataset, ImageDataset):
        return dataset
    return make_images(config.name, config.params)


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    if path.stat().st_size > uploads.MAX_BYTES:
        raise DataError(f"{path} is larger than {uploads.MAX_BYTES >> 20} MB; make it smaller.")
    return path.read_bytes()
