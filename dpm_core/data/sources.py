"""Any data set by what the user types, a name or the path of a file, and what depends on its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dpm_core.config import DataConfig, Params, RunConfig
from dpm_core.data.dataset import Dataset, Spec
from dpm_core.data.fetch import Progress
from dpm_core.data.kinds import DATA_KINDS, kind_of
from dpm_core.process import Chain
from dpm_core.reverse import ReverseKernel


def make(name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None) -> tuple[Any, DataConfig]:
    """The data set and the config that describes it. ``name`` may be the path of a file that one of the kinds reads.

    Raises DataError for an unknown name, parameter or file.
    """
    path = Path(name)
    if not any(kind.owns(name) for kind in DATA_KINDS.values()):
        for kind in reversed(DATA_KINDS.values()):  # the first kind, points, reads any table, so it comes last
            if kind.reads(path):
                return kind.from_file(path, noise, params)
    return kind_of(name).make(name, noise, params, progress)


def usual_run(dataset: Spec, data: DataConfig) -> RunConfig:
    """The run that suits a data set unless other options are given: the one with the best bound K."""
    return DATA_KINDS[dataset.kind].usual_run(dataset, data)


def live_run(dataset: Spec, data: DataConfig) -> RunConfig:
    """The run for somebody who watches the training: of images, the one whose samples soon look like them."""
    return DATA_KINDS[dataset.kind].live_run(dataset, data)


def exact_reverse(dataset: Dataset, diffusion: Chain) -> ReverseKernel | None:
    """The exact reverse kernel of the data's own distribution, or None where it is not known."""
    return DATA_KINDS[dataset.kind].exact_reverse(dataset, diffusion)


def of_checkpoint(dataset: Spec, config: DataConfig) -> Any:
    """The data themselves for what a checkpoint stores of them, standardised as the model learned them. Raises DataError."""
    return DATA_KINDS[dataset.kind].of_checkpoint(dataset, config)
