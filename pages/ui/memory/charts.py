"""The charts of the Memory page. Nothing here imports Streamlit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import altair as alt

from dpm_core.figures.palette import DATA, EXACT, NOISE, Role

HEIGHT = 280


def _ink(role: Role, dark: bool) -> str:
    return role.dark if dark else role.light


def _marks(speciation: float, collapse: float, dark: bool) -> alt.LayerChart:
    """Vertical lines at both times, with their names."""
    rows = [{"t": speciation, "name": "speciation"}, {"t": collapse, "name": "collapse"}]
    base = alt.Chart(alt.Data(values=rows)).encode(alt.X("t:Q"))
    ink = "#e8e8e8" if dark else "#1c2030"
    lines = base.mark_rule(strokeDash=[4, 3], opacity=0.7, color=ink)
    return lines + base.mark_text(align="left", dx=4, baseline="top", fontSize=11, color=ink).encode(alt.Text("name:N"), y=alt.value(2))


def information_chart(information: Sequence[float], points: int, speciation: float, collapse: float, dark: bool) -> alt.LayerChart:
    """I(X⁽⁰⁾;X⁽ᵗ⁾) in bits over t, and log₂ N; collapse is where they cross."""
    T = len(information)
    rows = [{"t": t, "bits": bits} for t, bits in enumerate(information, 1)]
    x = alt.X("t:Q", title="time t", scale=alt.Scale(domain=[0, T], nice=False))
    curve = alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2, color=_ink(DATA, dark)).encode(
        x, alt.Y("bits:Q", title="information about x⁽⁰⁾, bits"), tooltip=[alt.Tooltip("t:Q"), alt.Tooltip("bits:Q", format=".2f")]
    )  # fmt: skip
    level = alt.Chart(alt.Data(values=[{"bits": math.log2(points), "what": f"log₂ {points}"}]))
    rule = level.mark_rule(color=_ink(NOISE, dark), strokeWidth=1.5).encode(alt.Y("bits:Q"))
    name = level.mark_text(align="right", dy=-6, fontSize=11, color=_ink(NOISE, dark)).encode(
        alt.Y("bits:Q"), alt.Text("what:N"), x=alt.value("width")
    )  # fmt: skip
    return (rule + name + curve + _marks(speciation, collapse, dark)).properties(height=HEIGHT)


def participation_chart(shares: Sequence[float], speciation: float, collapse: float, dark: bool) -> alt.LayerChart:
    """The mean participation of one training point over t."""
    rows = [{"t": t, "share": share} for t, share in enumerate(shares, 1)]
    curve = alt.Chart(alt.Data(values=rows)).mark_line(strokeWidth=2, color=_ink(EXACT, dark)).encode(
        alt.X("t:Q", title="time t", scale=alt.Scale(domain=[0, len(shares)], nice=False)),
        alt.Y("share:Q", title="Σ w², weight on one point", scale=alt.Scale(domain=[0, 1])),
        tooltip=[alt.Tooltip("t:Q"), alt.Tooltip("share:Q", format=".2f")],
    )  # fmt: skip
    return (curve + _marks(speciation, collapse, dark)).properties(height=HEIGHT)


def differences_chart(found: Mapping[str, Sequence[float]], dark: bool) -> alt.LayerChart:
    """How far the network's x̂⁽⁰⁾ is from that of the N points and from that of the data, over t."""
    titles = {"memoriser": "to N points' kernel", "truth": "to the data's kernel"}
    rows = [{"t": t, "what": titles[name], "distance": v} for name, values in found.items() for t, v in enumerate(values, 1)]
    ink = alt.Scale(domain=list(titles.values()), range=[_ink(EXACT, dark), _ink(DATA, dark)])
    T = len(next(iter(found.values())))
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2)
        .encode(
            alt.X("t:Q", title="time t", scale=alt.Scale(domain=[0, T], nice=False)),
            alt.Y("distance:Q", title="distance of x̂⁽⁰⁾"),
            alt.Color("what:N", scale=ink, sort=None, legend=alt.Legend(title=None, orient="top", columns=1, symbolType="stroke")),
            tooltip=[alt.Tooltip("what:N"), alt.Tooltip("t:Q"), alt.Tooltip("distance:Q", format=".3f")],
        )
        .properties(height=HEIGHT)
    )
