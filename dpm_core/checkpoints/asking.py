"""Asking a model for a class: by its own label input, or by a classifier of its data as a factor."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from dpm_core.checkpoints.format import Checkpoint, CheckpointError
from dpm_core.checkpoints.reading import classifier_of
from dpm_core.data.kinds import DATA_KINDS, classes_of
from dpm_core.guidance import ClassFactor, NoisyClassifier
from dpm_core.reverse import ReverseModel


class Asked(NamedTuple):
    """What to sample from: a kernel, and the factor that multiplies it, if any."""

    kernel: ReverseModel
    factor: ClassFactor | None


def class_names(loaded: Checkpoint) -> tuple[str, ...]:
    """The names of the classes that a model can be asked for: those of its data, else those of their classifier; empty without any."""
    if named := classes_of(loaded.dataset):
        return named
    if loaded.config.network.classes:
        return tuple(str(label) for label in range(loaded.config.network.classes))
    found = classifier_of(loaded.dataset)
    return () if found is None else classes_of(found.dataset)


def label_of(text: str, loaded: Checkpoint) -> int:
    """The label that a text means: a number, or the name of a class. Raises CheckpointError where the data have no such class."""
    classes, title = class_names(loaded), loaded.dataset.title
    if not classes:
        raise CheckpointError(f"The data of {title} have no classes; leave out the label.")
    if text in classes:
        return classes.index(text)
    if text.isdecimal() and int(text) < len(classes):
        return int(text)
    raise CheckpointError(f"There is no class {text[:40]!r}; the classes of {title} are {', '.join(classes)}.")


def classifier_for(loaded: Checkpoint) -> NoisyClassifier | None:
    """The classifier of a model's data under its own diffusion: exact where these are known, else a trained one, else None."""
    kind = DATA_KINDS[loaded.dataset.kind]
    if (exact := kind.exact_classes(loaded.dataset, loaded.diffusion)) is not None:
        return exact
    found = classifier_of(loaded.dataset)
    return None if found is None else found.model.with_diffusion(loaded.diffusion)


def ask(loaded: Checkpoint, target: int | Tensor, guidance: float | None = None) -> Asked:
    """Return what samples the class ``target``, a label or weights of several.

    A class-conditional model is given the target, with classifier-free guidance w = ``guidance`` (0 unless given). Any other model is
    multiplied by r(x) = p(y|x)^w of :func:`classifier_for`, with w = ``guidance`` (1 unless given). Raises CheckpointError where there is
    neither, and FactorError or ValueError for a target out of range.
    """
    model: ReverseModel = loaded.model
    if model.classes:
        return Asked(model.given(target, guidance or 0.0), None)
    classifier = classifier_for(loaded)
    if classifier is None:
        raise CheckpointError(f"{loaded.name!r} is not class-conditional, and there is no classifier of its data; train one of the two.")
    return Asked(model, ClassFactor(classifier, target, 1.0 if guidance is None else guidance))
