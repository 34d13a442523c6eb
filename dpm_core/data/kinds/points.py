"""Points in the plane."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from dpm_core.config import DataConfig, Params, RunConfig
from dpm_core.data import toy2d, uploads
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.kinds.base import DataKind, HeldOut, Unit, read_file, register
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.figures.palette import GROUND, MODEL
from dpm_core.figures.rasters import scatter_image
from dpm_core.guidance import ExactClasses
from dpm_core.process import Chain, GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse

PICTURE_SIDE = 640  # pixels


class Points(DataKind[PlaneDataset, PlaneDataset]):
    """Points in the plane, whose density is known."""

    name = "points"
    title = "Points"
    file_help = "a CSV file of points"
    own = {"own": "points.csv"}  # noqa: RUF012 - ClassVar in the base class

    def names(self) -> Iterable[str]:
        """The built-in shapes, and "own"."""
        return [*toy2d.SHAPES, "own"]

    def make(
        self, name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None
    ) -> tuple[PlaneDataset, DataConfig]:
        """The built-in data set ``name`` blurred by ``noise``, the set's own unless given. Raises DataError."""
        _no_params(params)
        if name == "own":
            raise DataError("The points of 'own' are not part of the program; give the path of their CSV file instead.")
        dataset = toy2d.make_dataset(name, noise)
        return dataset, DataConfig(dataset.name, dataset.noise)

    def reads(self, path: Path) -> bool:
        """Any table; those of bits are recognised by their own kind before."""
        return path.suffix.lower() in uploads.TABLES

    def from_file(self, path: Path, noise: float | None = None, params: Params = ()) -> tuple[PlaneDataset, DataConfig]:
        """The points of a table with two numeric columns."""
        _no_params(params)
        points = uploads.read_csv(read_file(path, uploads.MAX_BYTES))
        dataset = toy2d.from_points(points, title=path.stem[:40], noise=toy2d.OWN_NOISE if noise is None else noise)
        return dataset, DataConfig(dataset.name, dataset.noise)

    def usual_run(self, spec: PlaneDataset, config: DataConfig) -> RunConfig:
        """The defaults of RunConfig."""
        return RunConfig(config)

    def constants(self, dataset: PlaneDataset) -> dict[str, Any]:
        """Title, noise and the constants that standardise."""
        return {name: getattr(dataset, name) for name in ("title", "noise", "mean", "scale")}

    def tensors(self, config: DataConfig, dataset: PlaneDataset) -> dict[str, Tensor]:
        """The user's own points."""
        return {"data.points": dataset.points, "data.weights": dataset.weights} if config.name == "own" else {}

    def described_shape(self, config: DataConfig, constants: Any) -> tuple[int, ...]:
        """``(2,)``."""
        return PlaneDataset.shape

    def rebuild(self, config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> PlaneDataset:
        """A built-in set by its name, the user's own from the tensors."""
        if config.name != "own":
            return toy2d.make_dataset(config.name, config.noise)
        noise, mean, scale = float(constants["noise"]), constants["mean"], constants["scale"]
        points, weights = tensors["data.points"].double(), tensors["data.weights"].double()
        if points.ndim != 2 or points.shape[1] != 2 or weights.shape != points.shape[:1] or len(points) == 0:
            raise DataError(f"its data points have the shape {tuple(points.shape)} instead of (N, 2), or not one weight each.")
        if not bool(points.isfinite().all() and (weights > 0).all() and weights.isfinite().all()):
            raise DataError("its data points or their weights are not finite.")
        toy2d.checked_noise(noise)
        if min(_pair(scale)) <= 0:
            raise DataError(f"the scale of its data is {scale}, but must be positive.")
        title = str(constants["title"])[:80]
        return PlaneDataset("own", title, points, weights / weights.sum(), noise, _pair(mean), _pair(scale))

    def given_class(self, dataset: PlaneDataset, label: int) -> PlaneDataset:
        """The points of the class."""
        return dataset.of_class(label)

    def of_checkpoint(self, dataset: PlaneDataset, config: DataConfig) -> PlaneDataset:
        """The data set itself, which a checkpoint stores completely."""
        return dataset

    def held_out(self, spec: PlaneDataset) -> HeldOut:
        """4,000 fresh draws at every t."""
        return HeldOut(4000, every_time=True)

    def exact_reverse(self, dataset: PlaneDataset, diffusion: Chain) -> EmpiricalReverse | None:
        """The exact kernel under a Gaussian diffusion."""
        return dataset.exact_reverse(diffusion) if isinstance(diffusion, GaussianDiffusion) else None

    def exact_classes(self, dataset: PlaneDataset, diffusion: Chain) -> ExactClasses | None:
        """By Bayes' rule from the exact marginals of each class."""
        if not dataset.classes or not isinstance(diffusion, GaussianDiffusion):
            return None
        kernels = [dataset.of_class(label).exact_reverse(diffusion) for label in range(len(dataset.classes))]
        return ExactClasses(kernels, dataset.class_weights())

    def class_information(self, dataset: PlaneDataset) -> float | None:
        """By quadrature of the entropies."""
        return dataset.class_information_nats() if dataset.classes else None

    def entropy(self, dataset: PlaneDataset) -> float:
        """Differential entropy in nats."""
        return dataset.entropy()

    def unit(self, spec: PlaneDataset) -> Unit:
        """Bits per point."""
        return Unit("point")

    def formats(self, spec: PlaneDataset) -> tuple[str, ...]:
        """All three."""
        return (".npz", ".csv", ".png")

    def write_csv(self, spec: PlaneDataset, x: Tensor, path: Path) -> None:
        """Two columns with the names x and y."""
        np.savetxt(path, x.numpy(), delimiter=",", header="x,y", comments="", fmt="%.6g")

    def write_png(self, spec: PlaneDataset, x: Tensor, path: Path) -> None:
        """A scatter plot."""
        Image.fromarray(scatter_image(x.numpy(), PICTURE_SIDE, MODEL.light, background=GROUND.light)).save(path)


def _no_params(params: Params) -> None:
    if params:
        raise DataError(f"Points have no parameter {params[0][0]!r}: parameters of the data are for images and bits; points take a noise.")


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    pair = float(first), float(second)
    if not all(map(math.isfinite, pair)):
        raise DataError("its data constants are not finite.")
    return pair


POINTS = register(Points())
