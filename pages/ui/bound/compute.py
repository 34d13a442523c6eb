"""What the Bound page computes besides the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st
from torch import Tensor

from dpm_core.config import ScheduleConfig
from dpm_core.measure.bound import NATS_PER_BIT, entropy_bounds
from dpm_core.measure.budget import reverse_entropies_nats
from dpm_core.reverse import EmpiricalReverse
from pages.ui import kinds


@st.cache_data(max_entries=64, show_spinner=False)
def entropies(source: Any, schedule: ScheduleConfig, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower bound, upper bound and exact value of H_q(X⁽ᵗ⁻¹⁾|X⁽ᵗ⁾) in bits, t = 2..T, of the data multiplied by ``scale``."""
    kernel = kinds.of(source).exact(source, schedule)
    assert kernel is not None, "only kinds with an exact entropy show it"
    wide = EmpiricalReverse(kernel.data * scale, kernel.diffusion, kernel.noise * scale, kernel.weights)
    lower, upper = entropy_bounds(kernel.diffusion, kernel.data[0].numel())
    return _bits(lower), _bits(upper), _bits(reverse_entropies_nats(wide))


def _bits(nats: Tensor) -> np.ndarray:
    return (nats / NATS_PER_BIT).numpy()
