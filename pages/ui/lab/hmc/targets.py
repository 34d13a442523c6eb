"""The densities of the Hamiltonian Monte Carlo page: energy, moments, start, contours, and how the plane is scaled to show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.config import ScheduleConfig
from dpm_core.figures.rasters import PLANE, contour_lines
from dpm_core.lab.chains import look_ahead_figure, plane_energy
from dpm_core.lab.hamiltonian import Energy, ill_conditioned_gaussian
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import ancestral
from pages.ui import cache
from pages.ui.kinds.points import cached
from pages.ui.kinds.points.source import PointSource
from pages.ui.lab.hmc.question import Question

ANY = ScheduleConfig("log_snr", 40)  # of data without a checkpoint
REACH = 3.4  # standard deviations of a Gaussian that the stage shows on each side, at its edge PLANE


@dataclass(frozen=True, eq=False)
class Target:
    """A density p(x) ∝ exp(−energy(x)) in ``dimensions`` dimensions.

    ``sample(n, generator)``: samples of p ``[n, d]``; ``point``: where chains start that all start at one place, ``[d]``. ``mean`` ``[d]``
    and ``second`` = E|x − mean|². The stage shows the coordinates ``axes``, divided by ``scale`` ``[2]``. ``reverse``: samples by the
    reverse process and the evaluations that each takes, where there is one. ``note``: a sentence about the energy.
    """

    energy: Energy
    dimensions: int
    sample: Callable[[int, torch.Generator], Tensor]
    point: Tensor
    mean: Tensor
    second: float
    axes: tuple[int, int]
    scale: np.ndarray
    contours: list[np.ndarray]
    reverse: int | None = None
    note: str = ""

    def shown(self, x: Tensor) -> np.ndarray:
        """The coordinates of states ``[..., d]`` on the stage, float32 ``[..., 2]``."""
        return (x[..., list(self.axes)].numpy() / self.scale).astype(np.float32)


@st.cache_resource(max_entries=16, show_spinner=False)
def _target(density: str, source: PointSource | None, ref: cache.ModelRef | None, level: float) -> Target:
    return _paper(density) if source is None else _of_data(source, ref, level)


def target(question: Question) -> Target:
    """The density of a question. Raises DataError, CheckpointError."""
    return _target(question.density, question.source, question.ref, question.level)


def _paper(name: str) -> Target:
    """A target of the paper's figure 2."""
    d = look_ahead_figure.DIMENSIONS[name]
    well = name == "rough_well"
    variances = torch.full((d,), look_ahead_figure.WELL_DEVIATION**2).double() if well else ill_conditioned_gaussian(d)[1]
    axes = (0, 1) if d == 2 else (0, d - 1)
    scale = variances[list(axes)].sqrt().numpy() * REACH / PLANE
    axis = np.linspace(-REACH, REACH, 161)
    bell = np.exp(-0.5 * (axis[:, None] ** 2 + axis[None] ** 2))
    note = (
        f"The well's ripples have a period of {look_ahead_figure.WELL_PERIOD:g}, its standard deviation is 100: they are too fine to "
        "draw. A random walk with large steps passes over the ripples, which trajectories along the gradient cannot."
        if well
        else f"Standard deviations from 1 to 1,000, evenly spaced in the logarithm; shown: coordinates {axes[0] + 1} and {axes[1] + 1}."
    )
    return Target(
        look_ahead_figure.energy_of(name), d, lambda n, generator: look_ahead_figure.equilibrium(name, n, generator),
        look_ahead_figure.far_point(name), torch.zeros(d, dtype=torch.float64), float(variances.sum()), axes, scale,
        contour_lines(bell), None,
        f"{note} Each axis is divided by the standard deviation along it.",
    )  # fmt: skip


def _of_data(source: PointSource, ref: cache.ModelRef | None, level: float) -> Target:
    """The density of x⁽ᵗ⁾ of data in the plane, exact or as a checkpoint's score describes it."""
    schedule = ANY if ref is None else cache.model(ref).config.schedule
    exact = cached.exact(source, schedule)
    diffusion: GaussianDiffusion = exact.diffusion
    t = plane_energy.time_of(diffusion, level)
    noise = float(diffusion.schedule.noise(t)) ** 0.5
    note = f"Density of x⁽ᵗ⁾ at t = {t}, where the noise has the standard deviation {noise:.2f}."
    energy = plane_energy.exact_energy(exact, t)
    if ref is not None:
        learned = plane_energy.learned_energy(cache.model(ref).model, exact, t)
        energy = learned.energy
        note += f" The energy is fitted to the network's score, {100 * learned.rest:.2g} % of whose mean square is not a gradient."
    p, axis = plane_energy.density_of(energy), plane_energy.AXIS
    mean = np.array([p.sum(1) @ axis, p.sum(0) @ axis])
    second = p.sum(1) @ (axis - mean[0]) ** 2 + p.sum(0) @ (axis - mean[1]) ** 2

    def sample(n: int, generator: torch.Generator) -> Tensor:
        return plane_energy.sample(energy, n, generator)

    inner = np.abs(axis) <= PLANE
    return Target(
        energy, 2, sample, sample(1, torch.Generator().manual_seed(0))[0], torch.from_numpy(mean), float(second), (0, 1), np.ones(2),
        contour_lines(p[np.ix_(inner, inner)].T, limit=float(np.abs(axis[inner]).max())), diffusion.T - t, note,
    )  # fmt: skip


def reversed_samples(question: Question, n: int) -> Tensor:
    """Samples of x⁽ᵗ⁾ by the reverse process from noise, ``[n, 2]``: of the checkpoint, or of the exact kernel."""
    assert question.source is not None
    kernel: ReverseKernel = cached.exact(question.source, ANY) if question.ref is None else cache.model(question.ref).model
    diffusion = cache.gaussian(kernel)
    t = plane_energy.time_of(diffusion, question.level)
    noise = torch.randn(n, 2, generator=torch.Generator().manual_seed(question.seed))
    for step in ancestral(kernel, diffusion, noise, generator=torch.Generator().manual_seed(question.seed + 1)):
        if step.t == t:
            break
    return step.x
