"""What is asked for: one class or a mixture of several, and how strongly; and the data that have classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.config import RunConfig
from dpm_core.data import images, toy2d
from pages.ui import cache, session
from pages.ui.controls.class_label import guidance_strength
from pages.ui.controls.widgets import choose

DEFAULT_DATA = "digits"


@dataclass(frozen=True)
class Target:
    """Weights τ of the classes, which add up to 1, and the exponent γ: samples should follow p(x) ∏ p(y|x)^(γ τ_y)."""

    shares: tuple[float, ...]
    strength: float

    @property
    def labels(self) -> list[int]:
        """The classes that are asked for."""
        return [label for label, share in enumerate(self.shares) if share > 0]

    @property
    def asked(self) -> int | Tensor:
        """The target as :func:`dpm_core.checkpoints.ask` takes it: a label, or weights of several."""
        return self.labels[0] if len(self.labels) == 1 else torch.tensor(self.shares)

    def words(self, classes: Sequence[str]) -> str:
        """The target in words: the class, or the shares of several."""
        if len(self.labels) == 1:
            return classes[self.labels[0]]
        return ", ".join(f"{100 * self.shares[label]:.0f} % {classes[label]}" for label in self.labels)

    def python(self) -> str:
        """The target in Python."""
        if len(self.labels) == 1:
            return str(self.labels[0])
        return f"torch.tensor([{', '.join(f'{share:g}' for share in self.shares)}])"


def of_class(label: int, classes: int) -> Target:
    """One class of so many, with γ = 1."""
    return Target(tuple(float(i == label) for i in range(classes)), 1.0)


def controls(classes: Sequence[str], first: int, strength: float = 1.0) -> Target:
    """Class chips, the mixture of two, and the exponent, in one row; ``first`` and ``strength`` are those at the start."""
    key = f"classes_{len(classes)}"
    left, right = st.columns([3, 2], gap="medium")
    names = session.bind(
        left.pills, "Class y", list(classes), selection_mode="multi", default=[classes[first]], key=key,
        help="Choose several for a mixture, such as something between a 3 and an 8.",
    )  # fmt: skip
    chosen = [classes.index(name) for name in names] or [first]
    weights = [1.0] * len(chosen)
    if len(chosen) == 2:
        a, b = (classes[label] for label in chosen)
        share = session.bind(
            left.slider, f"Mixture: share of “{b}”, the rest is “{a}”", 0, 100, 50, 5, format="%d %%", key="class_mixture",
        )  # fmt: skip
        weights = [100 - share, share]
    total = sum(weights)
    shares = [0.0] * len(classes)
    for label, weight in zip(chosen, weights):
        shares[label] = weight / total
    with right:
        chosen_strength = guidance_strength(strength)
    return Target(tuple(shares), chosen_strength)


def data_titles() -> dict[str, str]:
    """The data that can be guided, by name: the sets in the plane, and images with a model and a class-conditional one or a classifier."""
    plane = {name: shape.title for name, shape in toy2d.SHAPES.items() if shape.classes}
    pictures = {name: images.IMAGE_SETS[name].title for name in images.IMAGE_SETS if models_of(name)}
    return plane | pictures


def choose_data() -> str:
    """The name of the data set, from a menu."""
    titles = data_titles()
    return choose("Data", titles, "guided_data", DEFAULT_DATA if DEFAULT_DATA in titles else None)


def models_of(data: str) -> dict[str, Path]:
    """The models of a data set that can be asked for a class: class-conditional ones first, others where there is a classifier."""
    conditional: dict[str, Path] = {}
    plain: dict[str, Path] = {}
    for name, path in checkpoints.list_checkpoints().items():
        run = _run(path)
        if run is None or run.data.name != data:
            continue
        (conditional if run.network.classes else plain)[name] = path
    return conditional | (plain if has_classifier(data) else {})


def has_classifier(data: str) -> bool:
    """Whether there is a classifier of these images."""
    return any((run := _run(path)) is not None and run.data.name == data for path in checkpoints.list_classifiers().values())


def _run(path: Path) -> RunConfig | None:
    try:
        return cache.description(cache.ModelRef.of(path))[0]
    except OSError:
        return None
