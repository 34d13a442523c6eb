"""The Bound page with bits: the budget, K where there are too many patterns to sum over, and the player above the bars."""

from __future__ import annotations

import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.measure.bit_budget import bit_budget
from dpm_core.measure.bound import BoundEstimate, estimate_bound
from dpm_core.measure.budget import Budget
from pages.ui.kinds.bits import cached, recordings, reverse
from pages.ui.kinds.bits.source import BitSource, dataset, is_sequence
from pages.ui.kinds.images.bound import estimate_of_checkpoint
from pages.ui.kinds.records import BoundWords, Model

MAX_PATTERNS = 2048  # summed over at every pair of a datum and a time
PAIRS = 160_000  # of a datum and a time
MOST, FEWEST, OF_A_RUN = 4000, 200, 400  # data; a run in training is measured again and again
IMAGES, SEQUENCES = 256, 8000  # held-out data, one time each, where the budget cannot be split
STAGE_ROWS = 40


def can_split(source: BitSource) -> bool:
    """Whether the patterns can be listed and summed over."""
    data = dataset(source)
    return data.listed and len(data.patterns) <= MAX_PATTERNS


def budget(model: Model, seed: int) -> Budget | None:
    """Where the bits go; None where there are too many patterns."""
    return _budget(model, points(model.schedule.T, bool(model.run_id)), seed) if can_split(model.source) else None


def points(T: int, running: bool = False) -> int:
    """How many data a budget of T steps takes."""
    return OF_A_RUN if running else max(FEWEST, min(MOST, PAIRS // T))


@st.cache_data(max_entries=32, show_spinner=False)
def _budget(model: Model, n: int, seed: int) -> Budget:
    draws, noise = torch.Generator().manual_seed(seed + 1_000_003), torch.Generator().manual_seed(seed)
    kernel, x0 = cached.exact(model.source, model.schedule), dataset(model.source).sample(n, draws)
    return jobs.call(bit_budget, model.learned(), kernel, kernel.diffusion, x0, noise)


def estimate(model: Model, seed: int) -> BoundEstimate:
    """K term by term, without a split. Raises ValueError where it is not known."""
    if model.ref is not None:
        return estimate_of_checkpoint(model.ref, seed)
    if not model.run_id:
        raise ValueError(
            f"The exact kernel of these bits needs a sum over too many patterns (at most {MAX_PATTERNS:,}); choose a trained model."
        )
    return _estimate_of_run(model, seed)


@st.cache_data(max_entries=8, show_spinner=False)
def _estimate_of_run(model: Model, seed: int) -> BoundEstimate:
    if (kernel := model.learned()) is None:
        raise ValueError("This run is no longer in memory; choose another model.")
    data, noise = dataset(model.source), torch.Generator().manual_seed(seed)
    n = SEQUENCES if is_sequence(model.source) else IMAGES
    return estimate_bound(kernel, kernel.diffusion, data.sample_held_out(n, torch.Generator().manual_seed(seed + 1)), noise)


def words(source: BitSource) -> BoundWords:
    """How the Bound page speaks of these bits."""
    data = dataset(source)
    unknown = "There are too many patterns of these bits to sum over" if data.listed else "The distribution of these patterns is unknown"
    split, sequence = can_split(source), is_sequence(source)
    return BoundWords(
        unit="per datum" if split or sequence else "per pixel",
        steps="independent-bit",
        limit="−H",
        discretisation="Discretisation gap (independent bits)",
        divisor=1.0 if split or sequence else data.dims,
        unknown=unknown,
        budget_function="dpm_core.measure.bit_budget:bit_budget",
    )


def stage(model: Model, seed: int, clock: str) -> bytes:
    """Data diffused to t beside samples at t."""
    steps = min(reverse.DEFAULT_STEPS, model.schedule.T)
    return recordings.pair(model.ref, model.source, model.schedule, steps, STAGE_ROWS, seed, clock)
