"""Data sets of bits: their description with its noise, the menu's controls, and the Python that makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, cast

import numpy as np
import streamlit as st

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import BIT_RUN, DataConfig, Params, ScheduleConfig
from dpm_core.data import bits, images, uploads
from dpm_core.data.bits import BitDataset
from dpm_core.data.errors import DataError
from pages.ui import session
from pages.ui.components.bit_pad import bit_pad, check
from pages.ui.controls.file_upload import upload
from pages.ui.controls.widgets import choose, whole_number
from pages.ui.kinds.images.source import offer_download

PAINTED = "painted"
OWN_TITLES = {PAINTED: "Paint rows of bits", "patterns": "Upload rows of bits"}
TITLES = {name: info.title for name, info in bits.BIT_SETS.items() if name != "patterns"} | OWN_TITLES
TOO_MANY = ("binary_mnist",)  # patterns for the exact reverse kernel
LATTICES = (3, 4, 8, 16)
TEMPERATURES = (1.0, 1.5, 2.0, 2.269, 2.5, 3.0, 5.0)
ROWS, COLUMNS = 4, 12  # of the pad
WRITTEN_OUT = 40  # rows that a snippet holds
FIRST_CELLS = "110000110000001100001100000011000011101010101010"
RATES = {"data": "Mean of the data", "half": "One half"}


@dataclass(frozen=True)
class BitSource:
    """Where bits come from: a set by name with its parameters, or a person's own patterns as uint8 bytes ``[N, L]``.

    ``weights``: float64 bytes ``[N]``, empty where all patterns are equally likely. ``rate``: ρ, the probability of a 1 under the
    prior; None is the mean of the data.
    """

    kind: ClassVar[str] = "bits"
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
    def of_checkpoint(cls, loaded: Checkpoint) -> BitSource:
        """What a checkpoint was trained on, with its noise."""
        data, rate = loaded.config.data, loaded.config.diffusion.rate
        if data.name == "patterns":
            own = dataset_of_checkpoint(loaded)
            rows, weights = own.patterns.numpy(), own.weights.numpy()
            return cls(data.name, (), rows.tobytes(), rows.shape, own.title, rate, weights.tobytes())
        return cls(data.name, data.params, rate=rate)

    @classmethod
    def of_config(cls, config: DataConfig, rate: float) -> BitSource | None:
        """The set of a config with its noise, as the controls describe it; None for a person's own patterns."""
        if config.name == "patterns":
            return None
        source = cls(config.name, config.params)
        return source if dataset(source).rate == rate else replace(source, rate=rate)


def dataset_of_checkpoint(loaded: Checkpoint) -> BitDataset:
    """The data set of a checkpoint of a person's own patterns, which stores all of them."""
    return cast(BitDataset, loaded.dataset)


@st.cache_resource(max_entries=16, show_spinner=False)
def dataset(source: BitSource) -> BitDataset:
    """The set of bits of a source, cached. Raises DataError where its files are missing: nothing is downloaded here."""
    return source.dataset()


def is_sequence(source: BitSource) -> bool:
    """Whether a datum is a row of bits; otherwise it is a picture."""
    return len(dataset(source).shape) == 1


def titles(exact: bool) -> dict[str, str]:
    """The sets in the menu; with ``exact`` only those whose exact reverse kernel can be computed."""
    return {name: title for name, title in TITLES.items() if not exact or name not in TOO_MANY}


def controls(name: str) -> BitSource:
    """The set of a name, with its own controls. Input that makes no sense leaves the last good data in place."""
    if sentence := images.available(bits.FROM_IMAGES.get(name, "digits")):
        offer_download(bits.FROM_IMAGES[name], sentence)
        return BitSource("binary_digits")
    own = {PAINTED: _painted, "patterns": _uploaded}
    found = replace(own[name]() if name in own else BitSource(name, _params(name)), rate=_rate())
    last = session.LAST_GOOD.get()
    try:
        dataset(found)
    except DataError as error:
        session.complain(str(error))
        return last.get("bits", BitSource("heartbeat"))
    last["bits"] = found
    return found


def fitted_schedule(chosen: ScheduleConfig) -> ScheduleConfig:
    """A schedule for bits: the fixed first step of the paper's schedule is made so small that it flips hardly any bit."""
    return ScheduleConfig("paper", chosen.T, BIT_RUN.schedule.params) if chosen.name == "paper" else chosen


def _params(name: str) -> Params:
    if name == "heartbeat":
        with st.sidebar.expander("More"):
            length = whole_number("Length", 4, 64, 20, "length", help="Number of bits of a sequence.")
            period = whole_number("Period", 2, 32, 5, "period", help="Number of bits from one pulse to the next.")
            jitter = whole_number("Jitter", 0, 8, 0, "jitter", help="Largest shift of a pulse, in bits.")
        return (("jitter", jitter), ("length", length), ("period", period))
    if name == "ising":
        with st.sidebar.expander("More"):
            size = session.bind(st.select_slider, "Spins along a side", LATTICES, 4, key="spins")
            help = "In units of the coupling. Below 2.269, the critical temperature, a large lattice is mostly of one sign."
            temperature = session.bind(st.select_slider, "Temperature", TEMPERATURES, 2.269, key="temperature", help=help)
        return (("size", size), ("temperature", float(temperature)))
    return ()


def _rate() -> float | None:
    """ρ: None for the mean of the data."""
    help = "Probability of a 1 under the prior π, which is reached at t = T. The paper's heartbeat has ρ = 0.2."
    return 0.5 if choose("Prior probability of a 1, ρ", RATES, "rho", help=help) == "half" else None


def _painted() -> BitSource:
    """Rows set on a pad, which are part of the link."""
    cells = session.PAINTED_BITS.read(lambda text: check(text, ROWS * COLUMNS), FIRST_CELLS)
    session.PAINTED_BITS.write(cells, cells if cells != FIRST_CELLS else None)
    bit_pad(session.PAINTED_BITS.name, cells, COLUMNS, key="pad_of_bits", label="Your patterns")
    st.caption("Each row is one pattern; all are equally likely. Click or drag to change bits.")
    return _of(np.array([int(c) for c in cells], np.uint8).reshape(ROWS, COLUMNS), "Your rows")


def _uploaded() -> BitSource:
    """The person's last file that could be read."""
    source = upload("Rows of 0 and 1", ["csv", "tsv", "txt"], "bits_file", _read)
    if source is None:
        st.caption("No file has been uploaded yet, so the heartbeat is shown.")
        return BitSource("heartbeat")
    st.caption(f"Showing {session.plain(source.title)}.")
    return source


def _read(title: str, raw: bytes) -> BitSource:
    return _of(uploads.read_bits(raw), title)


def _of(rows: np.ndarray, title: str) -> BitSource:
    return BitSource("patterns", (), rows.tobytes(), rows.shape, title)


def python(source: BitSource) -> str:
    """The source as the Python expression that makes its data set."""
    if source.size:
        rows = np.frombuffer(source.patterns, np.uint8).reshape(source.size)
        if len(rows) > WRITTEN_OUT:
            return f'make_bits("patterns", patterns=uploads.read_bits(open({source.title!r}, "rb").read()))'
        return f'make_bits("patterns", patterns=np.array({rows.tolist()}))'
    return f"make_bits({source.name!r}, {source.params!r})"
