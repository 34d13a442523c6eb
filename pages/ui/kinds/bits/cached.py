"""What is computed once of bits under a schedule: the diffusion, the exact kernel, held-out data."""

from __future__ import annotations

from typing import cast

import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.process import BinomialDiffusion
from dpm_core.reverse import EmpiricalBits, ReverseKernel
from pages.ui import cache
from pages.ui.kinds.bits.source import BitSource, dataset

HELD_OUT = 1000
MAX_PATTERN_BITS = 1 << 22  # bits of all patterns together up to which the exact kernel takes about a second for all frames


@st.cache_resource(max_entries=32, show_spinner=False)
def diffusion(source: BitSource, schedule: ScheduleConfig) -> BinomialDiffusion:
    """The binomial diffusion of a source's bits. Raises DataError, ScheduleError."""
    return BinomialDiffusion(cache.schedule(schedule), dataset(source).rate)


def binomial(kernel: ReverseKernel) -> BinomialDiffusion:
    """The forward process of a kernel of bits, which is binomial."""
    return cast(BinomialDiffusion, kernel.diffusion)


@st.cache_resource(max_entries=16, show_spinner=False)
def exact(source: BitSource, schedule: ScheduleConfig) -> EmpiricalBits:
    """The exact reverse kernel of a source's patterns; of a set of images that of its training images."""
    return dataset(source).exact_reverse(diffusion(source, schedule))


@st.cache_resource(max_entries=16, show_spinner=False)
def held_out(source: BitSource) -> torch.Tensor:
    """Data that no step trains on, by which K of a run is measured."""
    return dataset(source).sample_held_out(HELD_OUT, torch.Generator().manual_seed(11))


def exact_is_fast(source: BitSource) -> bool:
    """Whether the patterns can be listed and are few enough for the exact kernel to be computed while a page opens."""
    data = dataset(source)
    return data.listed and data.patterns.numel() <= MAX_PATTERN_BITS
