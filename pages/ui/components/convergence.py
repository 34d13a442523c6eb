"""How an estimate of log p converges with the number of trajectories, and how far its errors can be trusted."""

from __future__ import annotations

import streamlit as st

from dpm_core.figures.budget_charts import convergence_chart
from dpm_core.measure.estimators import Jarzynski
from pages.ui import session

FEW = (
    "Band: ± 1 standard error. It is too narrow for few trajectories: on a chain whose log p is known, ± 2 standard errors contain it "
    "in 87 % of repetitions at N = 5, 92 % at N = 20 and 95 % from N = 100. It is also too narrow where the effective sample size is small."
)


def show(found: Jarzynski, lines: dict[str, tuple[float, str]]) -> None:
    """The chart of the first datum's estimate over N, beside reference ``lines``: label → (nats, role); and what its band means."""
    curve = found.curve()
    if not curve:
        st.caption(
            "All importance weights of this point underflow to 0, so the estimate of log p is −∞. Select a point nearer to the data."
        )
        return
    st.altair_chart(convergence_chart(curve, lines, session.is_dark()), key="convergence")
    st.caption(FEW)
