"""Arrays into figures: one palette, no torch, no streamlit.

Charts are Altair and Plotly objects without background or font, which the page's theme supplies.
"""

from __future__ import annotations

from io import BytesIO
from typing import NamedTuple

import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from PIL import Image
from skimage.measure import find_contours


class Role(NamedTuple):
    """A colour by what it means, on light and on dark ground."""

    light: str
    dark: str


DATA = Role("#2f6de0", "#6ea0ff")
MODEL = Role("#e4572e", "#ff7a55")
EXACT = Role("#1a936f", "#3ecf9b")
NOISE = Role("#9aa0aa", "#6b7280")
ROLES = {"data": DATA, "model": MODEL, "exact": EXACT, "noise": NOISE}

PLANE = 3.2  # half-width of every picture of the plane, in standard deviations


def rgb(colour: str) -> np.ndarray:
    """'#rrggbb' as float ``[3]`` in 0..255."""
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], dtype=float)


def scatter_image(
    points: np.ndarray, size: int, colour: str, background: str | None = None, limit: float = PLANE
) -> np.ndarray:
    """Points ``[n, 2]`` as soft dots: uint8 RGBA ``[size, size, 4]``, transparent unless a background is given.

    Drawn at twice the size by bilinear weights and averaged down, so dots overlap into shades of density.
    """
    fine = 2 * size
    position = (points * [1, -1] / limit + 1) / 2 * fine - 0.5
    position = position[np.isfinite(position).all(1)]
    base = np.floor(position).astype(int)
    part = position - base
    ink = np.zeros(fine * fine)
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = base[:, 0] + dx, base[:, 1] + dy
            weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
            inside = (x >= 0) & (x < fine) & (y >= 0) & (y < fine)
            ink += np.bincount(y[inside] * fine + x[inside], weight[inside], fine * fine)
    ink = ink.reshape(size, 2, size, 2).sum((1, 3))
    spread = sum(np.roll(ink, shift, axis) for shift in (-1, 1) for axis in (0, 1))
    cover = 1 - np.exp(-(0.7 * ink + 0.16 * spread) * max(0.35, min(1.0, 2500 / max(len(points), 1))))
    out = np.empty((size, size, 4), np.uint8)
    if background is None:
        out[..., :3], out[..., 3] = rgb(colour), np.round(255 * cover)
    else:
        out[..., :3] = np.round(rgb(background) + cover[..., None] * (rgb(colour) - rgb(background)))
        out[..., 3] = 255
    return out


def strip_image(states: list[np.ndarray], size: int, colour: str, gap: int = 8) -> np.ndarray:
    """Clouds ``[n, 2]`` side by side on transparent ground, uint8 RGBA."""
    tiles = [scatter_image(points, size, colour) for points in states]
    space = np.zeros((size, gap, 4), np.uint8)
    parts = [part for tile in tiles for part in (tile, space)][:-1]
    return np.concatenate(parts, 1)


def gif(
    panels: list[tuple[np.ndarray, Role]], dark: bool = False, size: int = 320, seconds: float = 5.0, hold: float = 1.0
) -> bytes:
    """Trajectories ``[F, n, 2]`` side by side as an endlessly looping GIF that holds its last frame."""
    ground = "#0f1318" if dark else "#fbfaf7"
    frames = []
    for i in range(len(panels[0][0])):
        tiles = [scatter_image(path[i], size, role.dark if dark else role.light, ground)[..., :3] for path, role in panels]
        frames.append(Image.fromarray(np.concatenate(tiles, 1)).quantize(32, dither=Image.Dither.NONE))
    wait = max(20, round(1000 * seconds / len(frames)))
    out = BytesIO()
    durations = [wait] * (len(frames) - 1) + [round(1000 * hold)]
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0, optimize=False)
    return out.getvalue()


def png(image: np.ndarray) -> bytes:
    """An RGBA or RGB uint8 array as PNG."""
    out = BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def grid(size: int, limit: float = PLANE) -> np.ndarray:
    """A square grid over the plane, row by row from below, float32 ``[size², 2]``."""
    axis = np.linspace(-limit, limit, size, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)


def contour_lines(
    log_density: np.ndarray, size: int, mass: tuple[float, ...] = (0.25, 0.6, 0.9), limit: float = PLANE
) -> list[np.ndarray]:
    """Polylines ``[k, 2]`` around the densest regions holding the given shares of probability.

    ``log_density`` ``[size²]`` lies on :func:`grid`; its scale does not matter.
    """
    density = np.exp(log_density - log_density.max()).reshape(size, size)
    ordered = np.sort(density, axis=None)[::-1]
    total = np.cumsum(ordered)
    lines = []
    for share in mass:
        level = ordered[min(np.searchsorted(total, share * total[-1]), ordered.size - 1)]
        for line in find_contours(density, level):
            lines.append((line[:, ::-1] / (size - 1) * 2 - 1) * limit)
    return lines


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
        figure.add_scatter(x=[point[0]], y=[point[1]], mode="markers", name="x⁽ᵗ⁾", marker={"color": "#9aa0aa", "size": 9, "symbol": "x"})
    figure.update_layout(
        height=380, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.08, "x": 0}, xaxis={"range": [x[0], x[-1]], "showgrid": False, "zeroline": False},
        yaxis={"range": [y[0], y[-1]], "scaleanchor": "x", "showgrid": False, "zeroline": False},
    )  # fmt: skip
    return figure


def schedule_chart(curves: dict[str, np.ndarray], title: str, colours: dict[str, str], log: bool = False, height: int = 260):
    """Curves over t (value i belongs to t = i + 1) as one Altair chart; non-finite values are left out."""
    rows = []
    for name, values in curves.items():
        t = np.arange(1, len(values) + 1)
        keep = np.isfinite(values) & ((values > 0) | (not log))
        picked = np.unique(np.linspace(0, keep.sum() - 1, min(400, keep.sum())).round().astype(int)) if keep.any() else []
        rows.append(pd.DataFrame({"t": t[keep][picked], "value": values[keep][picked], "schedule": name}))
    scale = alt.Scale(type="log") if log else alt.Scale()
    colour = alt.Color("schedule:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=None)
    return (
        alt.Chart(pd.concat(rows))
        .mark_line(strokeWidth=2)
        .encode(
            alt.X("t:Q", title="t", axis=alt.Axis(tickMinStep=1, grid=False)),
            alt.Y("value:Q", title=title, scale=scale),
            colour,
            strokeDash=alt.StrokeDash("schedule:N", legend=None, sort=list(colours)),
            tooltip=["schedule", "t", alt.Tooltip("value", format=".4g")],
        )
        .properties(height=height)
    )


# one colour (light, dark) per schedule, in the order of the schedule menu; the curve editor has the same
SCHEDULE_COLOURS = (
    ("#2f6de0", "#6ea0ff"), ("#946000", "#e3ac42"), ("#b8307c", "#f283bd"), ("#0b7a75", "#45cbc3"),
    ("#7a4fc9", "#b89cff"), ("#93482c", "#e0a07e"), ("#5a7006", "#b0c653"), ("#4d5667", "#b3bac7"),
)  # fmt: skip
