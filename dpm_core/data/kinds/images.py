"""Images, grey or in colour."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from dpm_core.config import IMAGE_RUN, DataConfig, Params, RunConfig, ScheduleConfig
from dpm_core.data import uploads
from dpm_core.data.dataset import Batches, LabelledBatches
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.images import IMAGE_SETS, ImageDataset, ImageSpec, make_images
from dpm_core.data.kinds.base import DataKind, HeldOut, Unit, class_names, no_noise, read_file, register
from dpm_core.figures.rasters import tile

MAX_SIDE = 256  # pixels, of the images a checkpoint may be for
NO_NOISE = "noise is for points, and the dequantisation noise of images is one level wide"


class Images(DataKind[ImageSpec, ImageDataset]):
    """Images, whose distribution is unknown."""

    name = "images"
    title = "Images"
    file_help = "a picture"
    own = {"image": "picture.png"}  # noqa: RUF012 - ClassVar in the base class

    def names(self) -> Iterable[str]:
        """The image sets, "image" for a picture of the user's own among them."""
        return IMAGE_SETS

    def make(
        self, name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None
    ) -> tuple[ImageDataset, DataConfig]:
        """The image set ``name``, downloaded where it is missing and that is possible. Raises DataError."""
        no_noise(noise, NO_NOISE)
        return make_images(name, params, progress=progress), DataConfig(name, params=params)

    def reads(self, path: Path) -> bool:
        """PNG, JPEG and WebP files."""
        return path.suffix.lower() in uploads.PICTURES

    def from_file(self, path: Path, noise: float | None = None, params: Params = ()) -> tuple[ImageDataset, DataConfig]:
        """Cuts from a picture."""
        no_noise(noise, NO_NOISE)
        picture = uploads.read_image(read_file(path, uploads.MAX_IMAGE_BYTES))
        return make_images("image", params, picture), DataConfig("image", params=params)

    def usual_run(self, spec: ImageSpec, config: DataConfig) -> RunConfig:
        """IMAGE_RUN, its schedule starting at the finest noise that the levels of these images need."""
        finest = (("end", -8.0), ("start", spec.finest_log_snr))
        return replace(IMAGE_RUN, data=config, schedule=replace(IMAGE_RUN.schedule, params=finest))

    def live_run(self, spec: ImageSpec, config: DataConfig) -> RunConfig:
        """The run whose samples soon look like the images.

        The bound gives every nat of log-SNR the same weight, and half of them distinguish grey levels that no eye can. The
        cosine schedule with the ε-loss learns shapes first, and smaller batches give it more steps: measured on MNIST after
        one minute, it lowers the Fréchet distance of samples from 99 to 55 and K by 0.7 bits per pixel.
        """
        usual = self.usual_run(spec, config)
        return replace(
            usual, schedule=ScheduleConfig("cosine", usual.schedule.T), training=replace(usual.training, loss="simple", batch=32)
        )

    def training_data(self, dataset: ImageDataset, device: str, seed: int, count: int) -> Batches:
        """Batches from the training pool, dequantised anew each time."""
        return dataset.batches(device)

    def labelled_training_data(self, dataset: ImageDataset, device: str, seed: int, count: int) -> LabelledBatches:
        """The same with labels. Raises DataError without labels."""
        return dataset.labelled_batches(device)

    def constants(self, dataset: ImageSpec) -> dict[str, Any]:
        """The fields of the spec."""
        return {field.name: getattr(dataset, field.name) for field in dataclasses.fields(ImageSpec) if field.name != "name"}

    def tensors(self, config: DataConfig, dataset: ImageSpec) -> dict[str, Tensor]:
        """The user's own picture."""
        if config.name != "image" or not isinstance(dataset, ImageDataset):
            return {}
        # a small picture serves as both pools, and safetensors refuses two tensors in the same memory
        return {"data.train": dataset.train.contiguous(), "data.held_out": dataset.held_out.clone().contiguous()}

    def content(self, config: DataConfig, dataset: ImageSpec) -> list[Tensor]:
        """The pictures of the user's own, of one or of a folder."""
        if config.name not in ("image", "textures") or not isinstance(dataset, ImageDataset):
            return []
        return [dataset.train, dataset.held_out]

    def described_shape(self, config: DataConfig, constants: Any) -> tuple[int, ...]:
        """``(C, H, W)``."""
        return _spec(config, constants).shape

    def rebuild(self, config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> ImageSpec:
        """The spec; with the pictures where the checkpoint holds the user's own."""
        spec = _spec(config, constants)
        if config.name != "image" or "data.train" not in tensors:
            return spec
        pools = {name: tensors[f"data.{name}"] for name in ("train", "held_out")}
        for pool in pools.values():
            fits = pool.ndim == 4 and len(pool) > 0 and pool.shape[1] == spec.shape[0]
            if pool.dtype != torch.uint8 or not fits or pool.shape[2] < spec.shape[1] or pool.shape[3] < spec.shape[2]:
                raise DataError(f"its picture of shape {tuple(pool.shape)} does not fit images of shape {spec.shape}.")
        constants_ = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
        return ImageDataset(**constants_, train=pools["train"], held_out=pools["held_out"])

    def of_checkpoint(self, dataset: ImageSpec, config: DataConfig) -> ImageDataset:
        """The pools by name, standardised by the constants of the checkpoint even where the files have changed since."""
        if isinstance(dataset, ImageDataset):
            return dataset
        found = make_images(config.name, config.params)
        if (found.shape, found.levels) != (dataset.shape, dataset.levels):
            described = f"the shape {found.shape} and {found.levels} levels"
            raise DataError(
                f"The images of {config.name!r} have {described}, not {dataset.shape} and {dataset.levels} as in the checkpoint."
            )
        return replace(found, mean=dataset.mean, scale=dataset.scale)

    def stored(self, config: DataConfig, dataset: ImageSpec) -> ImageSpec:
        """The spec; the user's own picture with it."""
        return dataset if config.name == "image" else dataset.spec

    def held_out(self, spec: ImageSpec) -> HeldOut:
        """20,000 pairs of a held-out image and a t."""
        return HeldOut(20_000, every_time=False)

    def held_out_groups(self, dataset: ImageDataset, n: int, seed: int) -> Tensor:
        """The image, or the tile of a picture that cuts are from."""
        return dataset.held_out_groups(n, torch.Generator().manual_seed(seed))

    def unit(self, spec: ImageSpec) -> Unit:
        """Bits per pixel, as in the paper; of colour images all three channels count as one pixel."""
        return Unit("pixel", spec.pixels_count)

    def formats(self, spec: ImageSpec) -> tuple[str, ...]:
        """No table."""
        return (".npz", ".png")

    def write_png(self, spec: ImageSpec, x: Tensor, path: Path) -> None:
        """All samples on one sheet."""
        Image.fromarray(tile(spec.pixels(x).permute(0, 2, 3, 1).numpy())).save(path)


def _spec(config: DataConfig, constants: Any) -> ImageSpec:
    channels, height, width = constants["shape"]
    levels, mean, scale = constants["levels"], float(constants["mean"]), float(constants["scale"])
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in (channels, height, width, levels))
    if not whole or channels not in (1, 3) or not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DataError(f"its images have the shape {constants['shape']}, but need 1 or 3 channels and sides up to {MAX_SIDE}.")
    if not (2 <= levels <= 256 and math.isfinite(mean) and math.isfinite(scale) and scale > 0):
        raise DataError(f"its data constants are out of range (levels {levels}, mean {mean:g}, scale {scale:g}).")
    title, classes = str(constants["title"])[:80], class_names(constants.get("classes", ()))
    return ImageSpec(config.name, title, (channels, height, width), mean, scale, levels, classes)


IMAGES = register(Images())
