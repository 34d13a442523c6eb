"""Any data set by what a person types: a name, or the path of their own file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dpm_core.config import BIT_RUN, IMAGE_RUN, DataConfig, DiffusionConfig, Params, RunConfig, ScheduleConfig
from dpm_core.data import toy2d, uploads
from dpm_core.data.bits import BIT_SETS, BitDataset, BitSpec, make_bits
from dpm_core.data.fetch import Progress
from dpm_core.data.images import IMAGE_SETS, ImageDataset, ImageSpec, make_images
from dpm_core.data.toy2d import DataError, PlaneDataset
from dpm_core.process import BinomialDiffusion, Chain, GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
TABLES = (".csv", ".tsv", ".txt")
Dataset = PlaneDataset | ImageDataset | BitDataset
SMALLEST_PICTURE = 8  # bits along a side of what a U-Net takes for a picture


def make(name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None) -> tuple[Dataset, DataConfig]:
    """The data set, and the config that describes it. ``name`` may be the path of a picture, or of a table of points or of bits.

    Raises DataError for an unknown name, parameter or file.
    """
    path = Path(name)
    if path.suffix.lower() in PICTURES:
        _no_noise(noise)
        picture = uploads.read_image(_read(path, uploads.MAX_IMAGE_BYTES))
        return make_images("image", params, picture), DataConfig("image", params=params)
    if name in BIT_SETS:
        _no_noise(noise)
        return make_bits(name, params, progress=progress), DataConfig(name, params=params)
    if path.suffix.lower() in TABLES and uploads.looks_like_bits(raw := _read(path, uploads.MAX_BYTES)):
        _no_noise(noise)
        found = make_bits("patterns", params, uploads.read_bits(raw))
        return replace(found, title=path.stem[:40]), DataConfig("patterns")
    if name in IMAGE_SETS:
        _no_noise(noise)
        return make_images(name, params, progress=progress), DataConfig(name, params=params)
    if params:
        raise DataError("Parameters of the data are for images and bits; points take --noise.")
    if path.suffix.lower() in TABLES:
        points = uploads.read_csv(_read(path, uploads.MAX_BYTES))
        dataset = toy2d.from_points(points, title=path.stem[:40], noise=toy2d.OWN_NOISE if noise is None else noise)
    else:
        dataset = toy2d.make_dataset(name, noise)
    return dataset, DataConfig(dataset.name, dataset.noise)


def usual_run(dataset: PlaneDataset | ImageSpec | BitSpec, data: DataConfig) -> RunConfig:
    """The run that suits a data set, where nothing else is asked for: the one with the best bound K."""
    if isinstance(dataset, BitSpec):
        run = replace(BIT_RUN, data=data, diffusion=DiffusionConfig("binomial", dataset.rate))
        if min(dataset.shape[1:], default=0) < SMALLEST_PICTURE:
            return run
        return replace(run, network=IMAGE_RUN.network, training=replace(run.training, batch=IMAGE_RUN.training.batch))
    if not isinstance(dataset, ImageSpec):
        return RunConfig(data)
    finest = (("end", -8.0), ("start", dataset.finest_log_snr))
    return replace(IMAGE_RUN, data=data, schedule=replace(IMAGE_RUN.schedule, params=finest))


def live_run(dataset: PlaneDataset | ImageSpec | BitSpec, data: DataConfig) -> RunConfig:
    """The run for somebody who watches and waits: of images, the one whose samples soon look like them.

    The bound gives every nat of log-SNR the same weight, and half of them tell grey levels apart that no eye does.
    The cosine schedule with the ε-loss learns shapes first, and smaller batches give it more steps: measured on MNIST,
    a minute brings the Fréchet distance of samples from 99 to 55, and costs 0.7 bits per pixel of K.
    """
    usual = usual_run(dataset, data)
    if not isinstance(dataset, ImageSpec):
        return usual
    return replace(usual, schedule=ScheduleConfig("cosine", usual.schedule.T), training=replace(usual.training, loss="simple", batch=32))


def exact_reverse(dataset: Dataset, diffusion: Chain) -> EmpiricalReverse | None:
    """The data's own reverse kernel under a diffusion for it, where their distribution is known."""
    if isinstance(dataset, BitDataset) and isinstance(diffusion, BinomialDiffusion):
        return dataset.exact_reverse(diffusion) if dataset.listed else None
    if isinstance(dataset, PlaneDataset) and isinstance(diffusion, GaussianDiffusion):
        return dataset.exact_reverse(diffusion)
    return None


def of_checkpoint(dataset: PlaneDataset | ImageSpec | BitSpec, config: DataConfig) -> Dataset:
    """The data themselves, for a checkpoint that knows only what a model must know of them.

    They are standardised as the model learned them, even where the files have changed since. Raises DataError.
    """
    if isinstance(dataset, BitSpec):
        return dataset if isinstance(dataset, BitDataset) else make_bits(config.name, config.params)
    if not isinstance(dataset, ImageSpec) or isinstance(dataset, ImageDataset):
        return dataset
    images = make_images(config.name, config.params)
    if (images.shape, images.levels) != (dataset.shape, dataset.levels):
        raise DataError(f"The images of {config.name!r} are not of the size that this checkpoint was trained on.")
    return replace(images, mean=dataset.mean, scale=dataset.scale)


def _no_noise(noise: float | None) -> None:
    if noise is not None:
        raise DataError("Noise is for points; that of images is one level wide, and bits have none.")


def _read(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    if path.stat().st_size > limit:
        raise DataError(f"{path} is larger than {limit >> 20} MB; make it smaller.")
    return path.read_bytes()
