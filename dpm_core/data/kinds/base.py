"""What a kind of data is, and the registry of kinds.

Everything that differs between points, images and bits outside their own packages is a method of :class:`DataKind`, so that
checkpoints, jobs and the command line never ask which kind they have. A new kind is a subclass whose one object is entered with
:func:`register`, for example in a new file of this folder; all files of the folder are imported.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from dpm_core.config import DataConfig, Params, RunConfig
from dpm_core.data.dataset import Batches, Dataset, LabelledBatches, Spec, labelled_rows
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.guidance import ExactClasses
from dpm_core.process import Chain
from dpm_core.reverse import ReverseKernel

MAX_CLASSES = 1000

S = TypeVar("S", bound=Spec)  # what a checkpoint stores
D = TypeVar("D", bound=Dataset)  # the data set itself


@dataclass(frozen=True)
class HeldOut:
    """How K is measured: on ``count`` held-out data, at every t (``every_time``) or at one random t for each datum."""

    count: int
    every_time: bool


@dataclass(frozen=True)
class Unit:
    """What bits are reported per: ``count`` units to a datum, each called ``name``."""

    name: str
    count: int = 1


class DataKind(ABC, Generic[S, D]):
    """One kind of data. The methods without a default are those that every kind must state."""

    name: ClassVar[str]  # key in DATA_KINDS, and ``kind`` of its data sets
    title: ClassVar[str]  # as menus show it
    diffusion: ClassVar[str] = "gaussian"  # the forward process for such data, as in DiffusionConfig.kind
    exact_chain: ClassVar[str] = "diagonal Gaussian"  # what the best chain with exact posterior moments is called
    file_help: ClassVar[str] = ""  # the files that ``reads`` accepts, in words: "a CSV file of points"
    own: ClassVar[dict[str, str]] = {}  # names of the user's own data sets → a placeholder for their file on a command line

    # --- the data sets ---

    @abstractmethod
    def names(self) -> Iterable[str]:
        """Names of the data sets of this kind, the user's own included, in the order of menus."""

    def owns(self, data_name: str) -> bool:
        """Whether the data set of this name is of this kind."""
        return data_name in self.names()

    @abstractmethod
    def make(self, name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None) -> tuple[D, DataConfig]:
        """The data set ``name`` and the config that describes it. Raises DataError."""

    def reads(self, path: Path) -> bool:
        """Whether a file of the user's holds data of this kind. Raises DataError for a file that is missing or too large."""
        return False

    def from_file(self, path: Path, noise: float | None = None, params: Params = ()) -> tuple[D, DataConfig]:
        """The data set in a file that ``reads`` accepts, and its config. Raises DataError."""
        raise DataError(f"{self.title} cannot be read from a file; give the name of a data set instead of {str(path)!r}.")

    # --- training ---

    @abstractmethod
    def usual_run(self, spec: S, config: DataConfig) -> RunConfig:
        """The run that suits a data set unless other options are given: the one with the best bound K."""

    def live_run(self, spec: S, config: DataConfig) -> RunConfig:
        """The run for somebody who watches the training; the usual one unless another shows good samples sooner."""
        return self.usual_run(spec, config)

    def training_data(self, dataset: D, device: str, seed: int, count: int) -> Tensor | Batches:
        """What a trainer draws from: a function (n, generator) → batch, or ``count`` fixed draws ``[count, *shape]``."""
        return dataset.sample(count, torch.Generator().manual_seed(seed)).to(device)

    def labelled_training_data(self, dataset: D, device: str, seed: int, count: int) -> LabelledBatches:
        """The same with labels: a function (n, generator) → batch and the class of each datum. Raises DataError without labels."""
        x, y = dataset.labelled(count, torch.Generator().manual_seed(seed))
        return labelled_rows(x.to(device), y.to(device))

    # --- checkpoints ---

    @abstractmethod
    def constants(self, dataset: S) -> dict[str, Any]:
        """What the header of a checkpoint says of its data, ready for JSON; ``title`` among it."""

    def tensors(self, config: DataConfig, dataset: S) -> dict[str, Tensor]:
        """The data stored beside the weights under names "data.…": only the user's own data, which cannot be made again."""
        return {}

    @abstractmethod
    def described_shape(self, config: DataConfig, constants: Any) -> tuple[int, ...]:
        """Shape of one datum as the header says. Raises DataError, KeyError, TypeError or ValueError for an invalid header."""

    @abstractmethod
    def rebuild(self, config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> S:
        """What a checkpoint stores of its data, from header and tensors. Raises DataError, KeyError, TypeError or ValueError."""

    @abstractmethod
    def of_checkpoint(self, dataset: S, config: DataConfig) -> D:
        """The data themselves for what a checkpoint stores of them, standardised as the model learned them. Raises DataError."""

    def given_class(self, dataset: S, label: int) -> S:
        """What remains of a checkpoint's data when its model is that of one class: all, unless the data themselves are stored."""
        return dataset

    def content(self, config: DataConfig, dataset: S) -> list[Tensor]:
        """The tensors that distinguish a data set from others with the same name and constants; none where these determine it."""
        return list(self.tensors(config, dataset).values())

    def stored(self, config: DataConfig, dataset: S) -> S:
        """What remains of a data set once training is over: no more than its checkpoint needs."""
        return dataset

    # --- measuring ---

    @abstractmethod
    def held_out(self, spec: S) -> HeldOut:
        """How K of a model of such data is measured, unless other options are given."""

    def held_out_groups(self, dataset: D, n: int, seed: int) -> Tensor | None:
        """What is independent in the n data that ``sample_held_out`` draws with a generator of this seed: a number for each, ``[n]``.

        Data with the same number are not independent. None where all are.
        """
        return None

    def exact_reverse(self, dataset: D, diffusion: Chain) -> ReverseKernel | None:
        """The exact reverse kernel of the data's own distribution, or None where it is not known."""
        return None

    def exact_classes(self, dataset: D, diffusion: Chain) -> ExactClasses | None:
        """The exact classifier of noisy data, or None where it is not known."""
        return None

    def class_information(self, dataset: D) -> float | None:
        """I(x⁽⁰⁾; y) of the data's own distribution and classes in nats, or None where it is not known."""
        return None

    def entropy(self, dataset: D) -> float | None:
        """Entropy of the data's own distribution in nats, or None where it is not known."""
        return None

    def unit(self, spec: S) -> Unit:
        """What bits are reported per: the datum unless stated."""
        return Unit("datum")

    # --- writing samples ---

    def formats(self, spec: S) -> tuple[str, ...]:
        """File endings under which samples can be written, ".npz" (the array itself) among them."""
        return (".npz", ".csv") if len(spec.shape) == 1 else (".npz",)

    def write_csv(self, spec: S, x: Tensor, path: Path) -> None:
        """Write samples ``[n, *shape]``, in the units of the model, as rows of numbers."""
        np.savetxt(path, x.numpy(), delimiter=",", fmt="%.6g")

    def write_png(self, spec: S, x: Tensor, path: Path) -> None:
        """Write samples ``[n, *shape]``, in the units of the model, as one picture, for kinds whose ``formats`` include ".png"."""
        raise NotImplementedError


DATA_KINDS: dict[str, DataKind[Any, Any]] = {}


def register(kind: DataKind[Any, Any]) -> DataKind[Any, Any]:
    """Enter a kind in DATA_KINDS under its name."""
    DATA_KINDS[kind.name] = kind
    return kind


def kind_of(data_name: str) -> DataKind[Any, Any]:
    """The kind of the data set that a config names. Raises DataError for an unknown name."""
    if found := next((kind for kind in DATA_KINDS.values() if kind.owns(data_name)), None):
        return found
    names = [name for kind in DATA_KINDS.values() for name in kind.names()]
    raise DataError(f"Unknown data set {data_name[:80]!r}; choose one of {', '.join(names)}.")


def kind_of_dataset(dataset: object) -> DataKind[Any, Any] | None:
    """The kind of a data set; None of anything else, such as a bare tensor."""
    return DATA_KINDS.get(getattr(dataset, "kind", ""))


def classes_of(dataset: object) -> tuple[str, ...]:
    """The names of a data set's classes, in the order of their labels; none for a kind of data without labels."""
    return tuple(getattr(dataset, "classes", ()))


def class_names(names: Any) -> tuple[str, ...]:
    """The names of classes that the header of a checkpoint lists. Raises DataError unless they are at most 1,000 different words."""
    if not isinstance(names, (list, tuple)) or len(names) > MAX_CLASSES or len(set(map(str, names))) != len(names):
        raise DataError(f"its classes must be a list of at most {MAX_CLASSES:,} different names.")
    return tuple(str(name)[:40] for name in names)


def no_noise(noise: float | None, why: str) -> None:
    """Raise DataError where ``noise`` is given for data without a noise to choose; ``why`` is a clause of the message."""
    if noise is not None:
        raise DataError(f"The noise {noise:g} does not apply, because {why}; leave it out.")


def read_file(path: Path, limit: int) -> bytes:
    """The content of a file of at most ``limit`` bytes. Raises DataError."""
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    if path.stat().st_size > limit:
        raise DataError(f"{path} is larger than {limit >> 20} MB; make it smaller.")
    return path.read_bytes()
