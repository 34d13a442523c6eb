"""The Bound page with images: K term by term, as nothing exact is known of them."""

from __future__ import annotations

import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.measure.bound import BoundEstimate, estimate_bound
from pages.ui import cache
from pages.ui.cache import ModelRef
from pages.ui.kinds.images.source import ImageSource, spec_of
from pages.ui.kinds.records import BoundWords, Model

HELD_OUT = 256  # images, one time each


def estimate(model: Model, seed: int) -> BoundEstimate:
    """K term by term. Raises ValueError, in one sentence, where it is not known."""
    if model.ref is not None:
        return estimate_of_checkpoint(model.ref, seed)
    run = jobs.get(model.run_id)
    if run is None or (latest := run.latest()) is None or latest.estimate is None:
        raise ValueError("This run has no snapshot yet. The first one is taken within a few seconds.")
    return latest.estimate


@st.cache_data(max_entries=8, show_spinner=False)
def estimate_of_checkpoint(ref: ModelRef, seed: int) -> BoundEstimate:
    """K of a checkpoint on held-out data, one time each. Raises DataError where these are not available."""
    loaded = cache.model(ref)
    dataset = cache.data_of(ref)
    held_out = dataset.sample_held_out(HELD_OUT, torch.Generator().manual_seed(seed))
    groups = DATA_KINDS[dataset.kind].held_out_groups(dataset, HELD_OUT, seed)
    return estimate_bound(loaded.model, loaded.diffusion, held_out, torch.Generator().manual_seed(seed), 32, groups)


def words(source: ImageSource) -> BoundWords:
    """How the Bound page speaks of these images."""
    spec, unknown = spec_of(source), "The density of these images is unknown"
    return BoundWords("per pixel", divisor=spec.pixels_count, unknown=unknown, code_length=spec.bits_per_dimension)
