"""A card for every checkpoint: what it makes, what it is, how good it is, and what can be done with it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError
from dpm_core.config import RunConfig, from_dict
from dpm_core.data.bits import BitSpec
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.figures import image_sheets, rasters
from dpm_core.figures.palette import MODEL
from pages.ui import cache, session
from pages.ui.checkpoints import files
from pages.ui.controls import widgets
from pages.ui.kinds.points import selected_point
from pages.ui.training import snapshot_stage
from pages.ui.training.run_setup import NETWORK_TITLES, count

STEPS, POINTS, PICTURES, ROWS = 30, 1000, 16, 22  # few steps: a picture is a glance, not a measurement
SIDE = 220  # pixels of a picture


@dataclass(frozen=True)
class Card:
    """What the description beside a model says, without loading the model."""

    name: str
    path: Path
    ref: cache.ModelRef
    title: str
    words: str
    quality: str
    command: str
    note: str  # in what the command does not make this very model
    own: bool
    error: str = ""


def card(name: str, path: Path) -> Card:
    """The card of a checkpoint; a description that cannot be read becomes its error. Raises OSError when the file has gone."""
    ref = cache.ModelRef.of(path)
    own = path.parent != checkpoints.SHIPPED
    title = selected_point.model_title(path, ref.modified)
    try:
        header = checkpoints.read_header(path)
        config = from_dict(RunConfig, header["config"])
        made, note = (str(header.get(key, "")) for key in ("command", "note"))
        return Card(name, path, ref, title, _words(header, config), _quality(header), made, note, own)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        sentence = str(error) if isinstance(error, CheckpointError) else f"{path.stem}.json is not complete."
        return Card(name, path, ref, title, "", "", "", "", own, sentence)


def show(shown: Card) -> Any:
    """A card; returns the place of its picture, which is to be filled later."""
    with st.container(border=True, key=f"card_{shown.name}", height="stretch"):
        place = st.empty()
        place.html(_frame(""))
        st.markdown(f"**{shown.name}**  \n{shown.quality}")
        if shown.error:
            st.error(shown.error)
        else:
            st.caption(f"{shown.words}; {_size(shown.path)}.")
        with st.container(horizontal=True, gap="small", vertical_alignment="center", key=f"do_{shown.name}"):
            _actions(shown)
        if shown.command:
            with st.expander("Command"):
                st.code(shown.command, language="bash", wrap_lines=True)
                if shown.note:
                    st.caption(shown.note)
    return place


def fill(place: Any, shown: Card) -> None:
    """Draw the picture into its place."""
    try:
        png = picture(shown.ref, st.context.theme.type == "dark")
    except CheckpointError as error:
        place.error(str(error))
        return
    words, look = html.escape(f"Samples of {shown.name}", quote=True), "width:100%;display:block;image-rendering:pixelated"
    place.html(_frame(f'<img src="{session.data_uri(png)}" alt="{words}" style="{look}">'))


@st.cache_data(max_entries=64, show_spinner=False)
def picture(ref: cache.ModelRef, dark: bool) -> bytes:
    """Samples as a PNG. Raises CheckpointError."""
    loaded = cache.model(ref)
    spec = None if isinstance(loaded.dataset, PlaneDataset) else loaded.dataset
    n = POINTS if spec is None else ROWS if len(loaded.shape) == 1 else PICTURES
    x = snapshot_stage.sample(loaded.model, loaded.shape, n, STEPS, 3).x[-1]
    if isinstance(spec, BitSpec):
        bits = image_sheets.tinted(x if x.ndim == 2 else x[:, 0], MODEL, dark)
        if x.ndim == 2:  # rows of a raster
            return rasters.png(bits.repeat(SIDE // len(x), 0).repeat(max(1, SIDE // x.shape[1]), 1))
        return rasters.png(image_sheets.sheet(bits, 4, SIDE // 4))
    if spec is None:
        return rasters.png(rasters.scatter_image(x, SIDE, MODEL.dark if dark else MODEL.light, limit=2.4))
    return rasters.png(image_sheets.sheet(snapshot_stage.grey(x, spec), 4, SIDE // 4))


def _frame(inside: str) -> str:
    """A square whose size does not depend on what is in it."""
    return f'<div style="aspect-ratio:1;max-width:{SIDE}px;margin:0 auto;display:grid;place-items:center">{inside}</div>'


def _actions(shown: Card) -> None:
    if not shown.error:
        st.page_link("pages/reverse.py", label="Open in Reverse", query_params={"model": shown.title})
        st.download_button(
            "Download", lambda: files.zipped(shown.path), f"{shown.name}.zip", "application/zip", on_click="ignore",
            type="tertiary", key=f"zip_{shown.name}",
        )  # fmt: skip
    if shown.own:
        with st.popover("Rename", type="tertiary", key=f"rename_{shown.name}"):
            new = st.text_input("New name", shown.name, max_chars=64, key=f"name_{shown.name}")
            st.button("Rename it", on_click=_do, args=("rename", shown.path, new), key=f"rename_now_{shown.name}")
            _error("rename", shown.path)
        with st.popover("Delete", type="tertiary", key=f"delete_{shown.name}"):
            st.markdown(f"Delete {shown.name} for good?")
            st.button("Delete it", on_click=_do, args=("delete", shown.path), key=f"delete_now_{shown.name}", type="primary")
            _error("delete", shown.path)


def _do(action: str, path: Path, *arguments: str) -> None:
    """What a button does; an error is kept for the place where the button stands."""
    try:
        {"rename": checkpoints.rename, "delete": checkpoints.delete}[action](path, *arguments)
    except (CheckpointError, OSError) as error:
        st.session_state["checkpoint_error"] = (action, path, str(error))


def _error(action: str, path: Path) -> None:
    """What went wrong when this was last tried, in one sentence."""
    kept = st.session_state.get("checkpoint_error")
    if kept and kept[:2] == (action, path):
        st.error(st.session_state.pop("checkpoint_error")[2])


def _words(header: dict[str, Any], config: RunConfig) -> str:
    training = config.training
    parts = [str(header["data"]["title"])]
    parts += [f"{NETWORK_TITLES.get(config.network.name, config.network.name)} of {count(int(header['parameters']))} parameters"]
    parts += [f"{widgets.SCHEDULE_TITLES.get(config.schedule.name, config.schedule.name)}, T = {config.schedule.T}"]
    how = f"batch {training.batch} at learning rate {training.learning_rate:g}, seed {training.seed}"
    parts += [f"{int(header['steps']):,} steps with {how}"]
    return "; ".join(parts)


def _quality(header: dict[str, Any]) -> str:
    """K with its error and yardsticks, in bits per point or per pixel."""
    shape = header["data"].get("shape")
    per_pixel = shape is not None and len(shape) == 3
    divide, unit = (float(np.prod(shape[1:])), "bits per pixel") if per_pixel else (1.0, "bits")
    names = ("bound_bits", "bound_standard_error_bits", "null_bits", "best_bound_bits")
    k, error, null, best = (float(header[name]) / divide if header.get(name) is not None else None for name in names)
    if k is None:
        return "K was not measured."
    digits = 3 if per_pixel else 2  # a picture has many pixels, and K of each a small error
    known = {"best chain": best, "nothing learned": null}
    beside = ", ".join(f"{label} {_number(value, digits)}" for label, value in known.items() if value is not None)
    spread = f" ± {error:.{digits}f}" if error is not None else ""
    return f"K = {_number(k, digits)}{spread} {unit}" + (f"  \n{beside}" if beside else "")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _size(path: Path) -> str:
    size = path.stat().st_size + path.with_suffix(".json").stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"
