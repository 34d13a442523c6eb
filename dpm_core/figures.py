"""Arrays into Altair and Plotly charts; no torch, no streamlit.

Charts have no background or font of their own: the page's theme supplies both.
"""

from __future__ import annotations

import altair as alt
import numpy as np
import plotly.graph_objects as go

from dpm_core.palette import DATA, NOISE, ROLES, ScheduleLook
from dpm_core.pictures import frame_numbers, rgb


def kernel_figure(
    x: np.ndarray,
    y: np.ndarray,
    density: np.ndarray,
    gaussians: dict[str, tuple[np.ndarray, np.ndarray, str]],
    point: tuple[float, float],
    dark: bool,
) -> go.Figure:
    """A density ``[ny, nx]`` as shades, diagonal Gaussians (mean ``[2]``, deviation ``[2]``, role) as rings at 1 and 2 σ."""
    shade = DATA.dark if dark else DATA.light
    clear = "rgba({:.0f},{:.0f},{:.0f},0)".format(*rgb(shade))
    figure = go.Figure(
        go.Heatmap(x=x, y=y, z=density, colorscale=[[0, clear], [1, shade]], showscale=False, name="exact q", zsmooth="best",
                   hovertemplate="density %{z:.3g}<extra></extra>")
    )  # fmt: skip
    angle = np.linspace(0, 2 * np.pi, 120)
    for i, (name, (mean, deviation, role)) in enumerate(gaussians.items()):
        colour = ROLES[role].dark if dark else ROLES[role].light
        for ring in (1, 2):
            figure.add_scatter(
                x=mean[0] + ring * deviation[0] * np.cos(angle),
                y=mean[1] + ring * deviation[1] * np.sin(angle),
                mode="lines", name=name, legendgroup=name, showlegend=ring == 1, hoverinfo="name",
                line={"color": colour, "width": 2, "dash": "dash" if i else "solid"},
            )  # fmt: skip
    if x[0] <= point[0] <= x[-1] and y[0] <= point[1] <= y[-1]:
        figure.add_scatter(x=[point[0]], y=[point[1]], mode="markers", name="x⁽ᵗ⁾", marker={"color": NOISE.light, "size": 9, "symbol": "x"})
    figure.update_layout(
        height=380, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.08, "x": 0},
        xaxis={"range": [x[0], x[-1]], "showgrid": False, "zeroline": False, "constrain": "domain"},
        yaxis={"range": [y[0], y[-1]], "scaleanchor": "x", "showgrid": False, "zeroline": False},
    )  # fmt: skip
    return figure


def schedule_chart(
    curves: dict[str, np.ndarray], title: str, looks: dict[str, ScheduleLook], dark: bool, log: bool = False, height: int = 260
) -> alt.Chart:
    """Curves over t (value i belongs to t = i + 1), each in its look; values that are not finite are left out."""
    rows: list[dict] = []
    for name, values in curves.items():
        t = np.flatnonzero(np.isfinite(values) & ((values > 0) | (not log)))
        t = t[frame_numbers(len(t), 400)] if len(t) else t
        rows += [{"t": int(i) + 1, "value": float(values[i]), "schedule": name} for i in t]
    names = list(looks)
    colours = [look.colour.dark if dark else look.colour.light for look in looks.values()]
    decades = alt.Axis(values=[10.0**k for k in range(-8, 1)], format="~g") if log else alt.Axis(tickCount=5)
    return (
        alt.Chart(alt.Data(values=rows))
        .mark_line(strokeWidth=2, clip=True, point=len(rows) <= 3 * len(curves))  # a lone value has no line
        .encode(
            alt.X("t:Q", title="t", axis=alt.Axis(tickMinStep=1, tickCount=6, format="d", grid=False)),
            alt.Y("value:Q", title=title, scale=alt.Scale(type="log" if log else "linear"), axis=decades),
            alt.Color("schedule:N", scale=alt.Scale(domain=names, range=colours), legend=None),
            alt.StrokeDash("schedule:N", scale=alt.Scale(domain=names, range=[look.dash for look in looks.values()]), legend=None),
            tooltip=["schedule:N", "t:Q", alt.Tooltip("value:Q", format=".4g")],
        )
        .properties(height=height)
    )
