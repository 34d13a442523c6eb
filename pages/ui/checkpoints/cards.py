"""A card for every checkpoint: samples, description, its bound K, and actions."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError, archive
from dpm_core.config import SFO_LEAD, RunConfig, from_dict
from dpm_core.files import in_words
from dpm_core.networks import NETWORKS
from pages.ui import cache, kinds, rights, session
from pages.ui.components.data_uri import data_uri
from pages.ui.components.number_cards import count
from pages.ui.controls.model_titles import model_title
from pages.ui.controls.schedule import SCHEDULE_TITLES

SIDE = 220  # pixels of a picture


@dataclass(frozen=True)
class Card:
    """What the JSON file of a model says, without loading the model."""

    name: str
    path: Path
    ref: cache.ModelRef
    title: str
    words: str
    quality: str
    command: str
    note: str  # how the model differs from what the command makes
    own: bool
    error: str = ""


def card(name: str, path: Path) -> Card:
    """The card of a checkpoint; a description that cannot be read becomes its error. Raises OSError when the file has gone."""
    ref = cache.ModelRef.of(path)
    own = path.parent != checkpoints.SHIPPED
    title = model_title(path)
    try:
        header = checkpoints.read_header(path)
        config = from_dict(RunConfig, header["config"])
        made, note = (str(header.get(key, "")) for key in ("command", "note"))
        return Card(name, path, ref, title, _words(header, config), _quality(header), made, note, own)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        sentence = (
            str(error)
            if isinstance(error, CheckpointError)
            else f"{path.stem}.json is incomplete, so this model cannot be used. Delete it, or upload it again."
        )
        return Card(name, path, ref, title, "", "", "", "", own, sentence)


def all_cards() -> list[Card]:
    """The cards of all checkpoints: a person's own first, the newest of them at the top."""
    cards = []
    for name, path in checkpoints.list_checkpoints().items():
        with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
            cards.append(card(name, path))
    return sorted(cards, key=lambda card: (not card.own, -card.ref.modified if card.own else 0))


def show_error_of_missing(cards: list[Card]) -> None:
    """The error of an action whose card is no longer there."""
    problem = session.CHECKPOINT_ERROR.get()
    if problem and problem[1] not in [card.path for card in cards]:
        session.CHECKPOINT_ERROR.set(None)
        st.error(session.plain(problem[2]))


def show(shown: Card) -> Any:
    """A card; returns the placeholder of its picture, which is filled later."""
    with st.container(border=True, key=f"card_{shown.name}", height="stretch"):
        place = st.empty()
        place.html(_frame(""))
        st.markdown(f"**{shown.name}**  \n{shown.quality}")
        if shown.error:
            st.error(session.plain(shown.error))
        else:
            st.caption(f"{session.plain(shown.words)}; {_size(shown.path)}.")
        with st.container(horizontal=True, gap="small", vertical_alignment="center", key=f"do_{shown.name}"):
            _actions(shown)
        if shown.command:
            with st.expander("Command"):
                st.code(shown.command, language="bash", wrap_lines=True)
                if shown.note:
                    st.caption(session.plain(shown.note))
    return place


def fill(place: Any, shown: Card) -> None:
    """Draw the picture into its placeholder."""
    try:
        png = picture(shown.ref, session.is_dark())
    except CheckpointError as error:
        place.error(session.plain(str(error)))
        return
    if png is None:
        return
    words, look = html.escape(f"Samples of {shown.name}", quote=True), "width:100%;display:block;image-rendering:pixelated"
    place.html(_frame(f'<img src="{data_uri(png)}" alt="{words}" style="{look}">'))


@st.cache_data(max_entries=64, show_spinner=False)
def picture(ref: cache.ModelRef, dark: bool) -> bytes | None:
    """Samples as a PNG; None where this kind of data has no picture. Raises CheckpointError."""
    loaded = cache.model(ref)
    return kinds.of_data(loaded.config.data.name).samples_picture(loaded, dark)


def _frame(inside: str) -> str:
    """A square whose size does not depend on its content."""
    return f'<div style="aspect-ratio:1;max-width:{SIDE}px;margin:0 auto;display:grid;place-items:center">{inside}</div>'


def _actions(shown: Card) -> None:
    if not shown.error:
        st.page_link("pages/reverse.py", label="Open in Reverse", query_params={"model": shown.title})
        st.download_button(
            "Download", lambda: archive.zipped(shown.path), f"{shown.name}.zip", "application/zip", on_click="ignore",
            type="tertiary", key=f"zip_{shown.name}",
        )  # fmt: skip
    if shown.own and rights.may_change(shown.path):
        with st.popover("Rename", type="tertiary", key=f"rename_{shown.name}"):
            new = st.text_input("New name", shown.name, max_chars=64, key=f"name_{shown.name}")
            if st.button("Rename", key=f"rename_now_{shown.name}"):  # no callback: its arguments would be those of the run before
                _do("rename", shown.path, new)
                st.rerun()
            _error("rename", shown.path)
        with st.popover("Delete", type="tertiary", key=f"delete_{shown.name}"):
            st.markdown(f"Delete {shown.name}? This cannot be undone.")
            st.button("Delete", on_click=_do, args=("delete", shown.path), key=f"delete_now_{shown.name}", type="primary")
            _error("delete", shown.path)


def _do(action: str, path: Path, *arguments: str) -> None:
    """Do what a button says; an error is shown beside the button."""
    actions: dict[str, Callable[..., Path | None]] = {"rename": checkpoints.rename, "delete": checkpoints.delete}
    try:
        rights.check_change(path)
        new = actions[action](path, *arguments)
        rights.move_mark(path, new)
    except (rights.NotAllowed, CheckpointError, OSError) as error:
        session.CHECKPOINT_ERROR.set((action, path, in_words(error)))


def _error(action: str, path: Path) -> None:
    """The error of the last attempt, in one sentence."""
    last = session.CHECKPOINT_ERROR.get()
    if last and last[:2] == (action, path):
        session.CHECKPOINT_ERROR.set(None)
        st.error(session.plain(last[2]))


def _words(header: dict[str, Any], config: RunConfig) -> str:
    training = config.training
    parts = [str(header["data"]["title"])]
    parts += [f"{NETWORKS[config.network.name].title} of {count(int(header['parameters']))} parameters"]
    parts += [f"{SCHEDULE_TITLES.get(config.schedule.name, config.schedule.name)}, T = {config.schedule.T}"]
    how = f"batch size {training.batch}, learning rate {training.learning_rate:g}, seed {training.seed}" + (
        "" if training.optimiser == "adam" else f", after step {SFO_LEAD} by the sum-of-functions optimiser"
    )
    parts += [f"{int(header['steps']):,} training steps, {how}"]
    if config.diffusion.kind == "gaussian" and config.network.variance == "capped":
        parts += ["the older form of the variance of x⁽⁰⁾ given x⁽ᵗ⁾, at most 1 − ᾱₜ"]
    return "; ".join(parts)


def _quality(header: dict[str, Any]) -> str:
    """K with its error, the best known K and the baseline, in bits per datum or per pixel."""
    shape = header["data"].get("shape")
    per_pixel = shape is not None and len(shape) == 3
    divide, unit = (float(np.prod(shape[1:])), "bits per pixel") if per_pixel else (1.0, "bits")
    names = ("bound_bits", "bound_standard_error_bits", "null_bits", "best_bound_bits")
    k, error, null, best = (float(header[name]) / divide if header.get(name) is not None else None for name in names)
    if k is None:
        return "K has not been measured."
    digits = 3 if per_pixel else 2  # an average over many pixels has a small error
    known = {"best K with exact steps": best, "baseline L_null": null}
    beside = ", ".join(f"{label} {_number(value, digits)}" for label, value in known.items() if value is not None)
    spread = f" ± {error:.{digits}f}" if error is not None else ""
    if per_pixel and "scale" in header["data"]:
        unit += f", {np.log2(header['data']['scale']) - header['bound_bits'] / np.prod(shape):.2f} bits per dimension"
    return f"K = {_number(k, digits)}{spread} {unit}" + (f"  \n{beside}" if beside else "")


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def _size(path: Path) -> str:
    size = path.stat().st_size + path.with_suffix(".json").stat().st_size
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"
