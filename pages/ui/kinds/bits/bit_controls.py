"""The data menu of pages that also take bits, and what it gives: a frozen description of a set of bits and of its noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import BIT_RUN, DataConfig, Params, ScheduleConfig
from dpm_core.data import bits, images, uploads
from dpm_core.data.bits import BitDataset
from dpm_core.data.toy2d import DataError
from pages.ui import session
from pages.ui.components.bit_pad import bit_pad, check
from pages.ui.controls import widgets

PAINTED = "painted"
BIT_TITLES = {name: info.title for name, info in bits.BIT_SETS.items() if name != "patterns"}
OWN_TITLES = {PAINTED: "Paint rows of bits", "patterns": "Upload rows of bits"}
TOO_MANY = ("binary_mnist",)
LATTICES = (3, 4, 8, 16)
TEMPERATURES = (1.0, 1.5, 2.0, 2.269, 2.5, 3.0, 5.0)
ROWS, COLUMNS = 4, 12  # of the pad
WRITTEN_OUT = 40  # rows that a snippet holds
FIRST_CELLS = "110000110000001100001100000011000011101010101010"
RATES = {"data": "As active as the data", "half": "Half of all bits"}


@dataclass(frozen=True)
class BitSource:
    """Where bits come from: a set by name with its parameters, or the person's own patterns as uint8 bytes ``[N, L]``, with
    float64 ``weights`` ``[N]`` unless all are alike.

    ``rate``: ρ, the mean activity of the noise; None is that of the data.
    """

    name: str
    params: Params = ()
    patterns: bytes = b""
    size: tuple[int, ...] = ()
    title: str = ""
    rate: float | None = None
    weights: bytes = b""

    def config(self) -> DataConfig:
        """The description that checkpoints and the command line use; it does not hold a person's own patterns."""
        return DataConfig(self.name, params=self.params)

    def dataset(self) -> BitDataset:
        """The data set itself; nothing is downloaded. Raises DataError."""
        if (images_of := bits.FROM_IMAGES.get(self.name)) and (sentence := images.available(images_of)):
            raise DataError(sentence)
        rows = np.frombuffer(self.patterns, np.uint8).reshape(self.size) if self.size else None
        if rows is not None and self.weights:
            made = bits.from_patterns(self.name, self.title, rows, np.frombuffer(self.weights))
        else:
            made = bits.make_bits(self.name, self.params, rows)
        return replace(made, title=self.title or made.title, rate=self.rate or made.rate)

    @classmethod
    def of(cls, loaded: Checkpoint) -> BitSource:
        """What a checkpoint was trained on, with its noise."""
        data, rate = loaded.config.data, loaded.config.diffusion.rate
        if data.name == "patterns":
            rows, weights = loaded.dataset.patterns.numpy(), loaded.dataset.weights.numpy()
            return cls(data.name, (), rows.tobytes(), rows.shape, loaded.dataset.title, rate, weights.tobytes())
        return cls(data.name, data.params, rate=rate)


def source(name: str) -> BitSource:
    """What a name in the menu stands for, with its own controls. Nonsense leaves the last good data in place."""
    own = {PAINTED: _painted, "patterns": _uploaded}
    found = replace(own[name]() if name in own else BitSource(name, _params(name)), rate=_rate())
    try:
        bits_of(found)
    except DataError as error:
        session.complain(str(error))
        return st.session_state.get("good_bits", BitSource("heartbeat"))
    st.session_state["good_bits"] = found
    return found


@st.cache_resource(max_entries=16, show_spinner=False)
def bits_of(found: BitSource) -> BitDataset:
    """The set of bits of a source. Raises DataError where its files are missing: nothing is downloaded here."""
    return found.dataset()


def plane_or_bits() -> widgets.PlaneSource | BitSource:
    """Data whose own reverse kernel can be had: in the plane, or of bits, though not of as many as MNIST has."""
    titles = {name: title for name, title in BIT_TITLES.items() if name not in TOO_MANY} | OWN_TITLES
    name = widgets.choose("Data", widgets.DATA_TITLES | titles, "data", "swiss_roll")
    return source(name) if name in titles else widgets.plane_source(name)


def schedule_config() -> ScheduleConfig:
    """The paper's schedule unless another is chosen; its first step, which is never learned, hardly flips anything."""
    return flipping(widgets.schedule_config("paper", BIT_RUN.schedule.T))


def flipping(chosen: ScheduleConfig) -> ScheduleConfig:
    """A schedule as it suits bits."""
    return ScheduleConfig("paper", chosen.T, BIT_RUN.schedule.params) if chosen.name == "paper" else chosen


def _params(name: str) -> Params:
    if name == "heartbeat":
        with st.sidebar.expander("More"):
            length = widgets.whole("Places", 4, 64, 20, "length")
            period = widgets.whole("Period", 2, 32, 5, "period")
            jitter = widgets.whole("Early or late by up to", 0, 8, 0, "jitter", help="Places by which every beat may be moved.")
        return (("jitter", jitter), ("length", length), ("period", period))
    if name == "ising":
        with st.sidebar.expander("More"):
            size = widgets.linked(st.select_slider, "Spins along a side", LATTICES, 4, key="spins")
            help = "In units of the coupling. Below 2.269 a large lattice chooses a side; at it there are patches of every size."
            temperature = widgets.linked(st.select_slider, "Temperature", TEMPERATURES, 2.269, key="temperature", help=help)
        return (("size", size), ("temperature", float(temperature)))
    return ()


def _rate() -> float | None:
    """ρ: None for that of the data."""
    help = "The mean activity of the noise that is left at t = T. The paper's heartbeat has 0.2."
    return 0.5 if widgets.choose("Noise ρ", RATES, "rho", help=help) == "half" else None


def _painted() -> BitSource:
    """Rows clicked on a pad; they live in the link."""
    cells = session.linked("cells", lambda text: check(text, ROWS * COLUMNS), FIRST_CELLS)
    st.session_state["cells"] = cells
    bit_pad("cells", cells, COLUMNS, key="pad_of_bits", label="Your patterns")
    session.put_in_link("cells", cells if cells != FIRST_CELLS else None)
    st.caption("Each row is a pattern, as likely as the others. Click or drag.")
    return _of(np.array([int(c) for c in cells], np.uint8).reshape(ROWS, COLUMNS), "Your rows")


def _uploaded() -> BitSource:
    """The person's last good file."""
    file = st.file_uploader("Rows of 0 and 1", type=["csv", "tsv", "txt"], key="bits_file")
    if file is not None and st.session_state.get("bits_read", ("",))[0] != file.file_id:
        st.session_state["bits_read"] = (file.file_id, _read(file.name, file.getvalue()))
    if file is not None and (error := st.session_state["bits_read"][1]):
        session.complain(error)
    kept = st.session_state.get("own_bits")
    if kept is None:
        st.caption("Until then the heartbeat is shown.")
        return BitSource("heartbeat")
    st.caption(f"Showing {kept.title}.")
    return kept


def _read(title: str, raw: bytes) -> str:
    """Keep a file's patterns for the session when they are some; else the error."""
    try:
        st.session_state["own_bits"] = _of(uploads.read_bits(raw), title)
    except DataError as error:
        return f"{title}: {error}"
    return ""


def _of(rows: np.ndarray, title: str) -> BitSource:
    return BitSource("patterns", (), rows.tobytes(), rows.shape, title)


def python(found: BitSource) -> str:
    """The source as the Python that makes it."""
    if found.size:
        rows = np.frombuffer(found.patterns, np.uint8).reshape(found.size)
        if len(rows) > WRITTEN_OUT:
            return f'make_bits("patterns", patterns=uploads.read_bits(open({found.title!r}, "rb").read()))'
        return f'make_bits("patterns", patterns=np.array({rows.tolist()}))'
    return f"make_bits({found.name!r}, {found.params!r})"
