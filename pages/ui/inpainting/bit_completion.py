"""Completing a sequence of bits on the Inpaint page: some bits are fixed by clicks, and the model samples the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import altair as alt
import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from dpm_core.factors import Inpaint
from dpm_core.figures.budget_charts import ROLES
from dpm_core.posterior import repaint, repaint_times, tilted
from dpm_core.process import Step
from dpm_core.reverse import EmpiricalBits, ReverseKernel
from dpm_core.samplers import timesteps, walk
from pages.ui import cache, session
from pages.ui.cache import ModelRef
from pages.ui.components.bit_pad import bit_pad, check
from pages.ui.components.export_row import export_row
from pages.ui.components.player import Number, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.controls.model_titles import model_title
from pages.ui.inpainting.rules import RULE_HELP, RULE_TITLES
from pages.ui.kinds.bits import cached, recordings, stages
from pages.ui.kinds.bits.source import BitSource, dataset

JUMP, RESAMPLINGS = 5, 4
ROWS, COUNTED = 40, 2000  # completions that are shown, and that are counted
SHOWN = 12  # patterns in the chart


class Completed(NamedTuple):
    """The packed stage; the total variation of every rule to the exact posterior, that of as many exact draws (the floor), and the
    patterns that fit the fixed bits with their exact probability and their share under the chosen rule."""

    payload: bytes
    distances: dict[str, float]
    floor: float
    rows: list[dict]


def _run(kernel: ReverseKernel, cells: str, rule: str, steps: int, n: int, seed: int) -> Iterator[Step]:
    """Completions of bits of which "." are to be sampled, step by step."""
    process = kernel.diffusion
    free, known = torch.tensor([c == "." for c in cells]), torch.tensor([float(c == "1") for c in cells])
    factor = Inpaint(free, known, None if rule == "clean" else process)
    x_T, noise = process.start((n, len(cells)), torch.Generator().manual_seed(seed)), torch.Generator().manual_seed(seed + 1)
    if rule == "repaint":
        return repaint(kernel, process, x_T, factor, steps=steps, jump=JUMP, resamplings=RESAMPLINGS, generator=noise)
    return walk(kernel, process, x_T, timesteps(process.T, steps), factor=factor, generator=noise)


def _exact(source: BitSource, schedule: ScheduleConfig, cells: str) -> EmpiricalBits:
    """The exact kernel given the fixed bits. Raises ValueError where no pattern of the data has them."""
    free, known = torch.tensor([c == "." for c in cells]), torch.tensor([float(c == "1") for c in cells])
    return cast(EmpiricalBits, tilted(cached.exact(source, schedule), Inpaint(free, known)))  # of bits, the kernel is one of bits again


@st.cache_data(max_entries=32, show_spinner=False)
def complete(ref: ModelRef, source: BitSource, schedule: ScheduleConfig, cells: str, rule: str, steps: int, seed: int) -> Completed:
    """Completions by a model, beside exact ones. Raises ValueError where no pattern of the data fits."""
    model, exact = cache.model(ref).model, _exact(source, schedule, cells)
    fitting, wanted = exact.data, exact.probabilities.numpy()
    shares, draws = {}, np.random.default_rng(seed)
    for each in RULE_TITLES:
        *_, (_, last) = _run(model, cells, each, steps, COUNTED, seed + 5)
        shares[each] = _shares(last, fitting)
    distances = {each: 0.5 * (np.abs(share - wanted).sum() + 1 - share.sum()) for each, share in shares.items()}
    floor = np.mean([0.5 * np.abs(draws.multinomial(COUNTED, wanted) / COUNTED - wanted).sum() for _ in range(40)])
    rows = []
    for i in np.argsort(-wanted, kind="stable")[:SHOWN]:
        pattern = "".join(map(str, fitting[i].tolist()))
        pairs = (("exact", float(wanted[i])), ("sampled", float(shares[rule][i])))
        rows += [{"pattern": pattern, "curve": whose, "percent": 100 * value} for whose, value in pairs]
    return Completed(_stage(model, exact, cells, rule, steps, seed, shares[rule].sum()), distances, float(floor), rows)


def _shares(x: Tensor, patterns: Tensor) -> np.ndarray:
    """How large a share of the rows of x each pattern is; rows that are none of them are missing from the sum."""
    places = {row.tobytes(): i for i, row in enumerate(patterns.to(torch.uint8).numpy())}
    found = [places[key] for row in x.to(torch.uint8).numpy() if (key := row.tobytes()) in places]
    return np.bincount(np.array(found, dtype=int), minlength=len(patterns)) / len(x)


def _stage(model: ReverseKernel, exact: EmpiricalBits, cells: str, rule: str, steps: int, seed: int, fits: float) -> bytes:
    T = model.diffusion.T
    total = len(repaint_times(T, steps, JUMP, RESAMPLINGS) if rule == "repaint" else timesteps(T, steps))
    learned = recordings.recorded(_run(model, cells, rule, steps, ROWS, seed), total)
    beside = recordings.recorded(_run(exact, "." * len(cells), "noised", steps, ROWS, seed), len(timesteps(T, steps)))
    times = learned.times.tolist()
    at = [int(np.abs(beside.times - t).argmin()) for t in times]  # RePaint passes a time more than once
    panels = (
        stages.panel("learned", "completions, learned model", "model", learned.x.astype(np.uint8), RULE_TITLES[rule].lower()),
        stages.panel("exact", "exact posterior", "exact", beside.x[at].astype(np.uint8), "same noise"),
    )
    held = sum(c != "." for c in cells)
    readouts = (
        Number(
            "Valid completions",
            [100 * fits],
            1,
            "%",
            f"patterns of the data with the {held} fixed bits, of {COUNTED:,} samples",
            False,
            "model",
        ),
        Number("Patterns that fit the fixed bits", [float(len(exact.data))], 0, "", "of all patterns of the data", False, "exact"),
    )
    return pack(Stage(panels, times, T, readouts=readouts, name="dpm-complete", start=0, duration=4.0))


def show() -> None:
    """The whole page: the controls in the sidebar, the bits, the completions and their distance to the exact posterior."""
    found = {}
    for name, path in checkpoints.list_checkpoints().items():
        run, shape = cache.description(ModelRef.of(path))
        if run is not None and run.diffusion.kind == "binomial" and len(shape) == 1:
            found[name] = path
    with st.sidebar:
        titles = {name: model_title(path) for name, path in found.items()}
        if not titles:
            st.error("There is no trained model of sequences of bits. Train one on the Train page first.")
            st.stop()
        name = widgets.choose("Model", titles, "completed_by", "heartbeat_mlp" if "heartbeat_mlp" in found else None)
        ref = ModelRef.of(found[name])
        loaded = cache.model(ref)
        source, schedule = BitSource.of_checkpoint(loaded), loaded.config.schedule
        rule = widgets.choose("Fixed bits during sampling", RULE_TITLES, "bits_rule", help=RULE_HELP)
        sizes = [s for s in (10, 20, 50, 100, 250) if s <= schedule.T] or [schedule.T]
        steps = session.bind(st.select_slider, "Sampler steps", sizes, min(50, sizes[-1]), key="complete_steps")
        seed = widgets.seed()
    dims = dataset(source).dims
    first = "00" + "." * (dims - 2)
    st.markdown("**Fixed bits**: click a bit to fix it to 1, again for 0, and again to leave it open")
    try:
        cells = check(session.HELD_BITS.read(str, first), dims, free=True)
    except ValueError:  # a link to another model's bits
        cells = first
    session.HELD_BITS.remember(cells)
    bit_pad(session.HELD_BITS.name, cells, dims, key="held_pad", free=True, label="Fixed bits")
    session.HELD_BITS.show(cells if cells != first else None)
    try:
        with working("Sampling completions …"):
            done = complete(ref, source, schedule, cells, rule, steps, seed)
    except ValueError as error:
        st.error(session.plain(str(error)))
        return
    player(done.payload, key="complete")
    _charts(done, rule)
    python = f"""import torch
from dpm_core.checkpoints import load
from dpm_core.factors import Inpaint
from dpm_core.posterior import repaint, tilted
from dpm_core.samplers import timesteps, walk

loaded, cells = load({name!r}), {cells!r}
model, diffusion = loaded.model, loaded.diffusion
free, known = torch.tensor([c == "." for c in cells]), torch.tensor([float(c == "1") for c in cells])
factor = Inpaint(free, known, {"None" if rule == "clean" else "diffusion"})
x_T, noise = diffusion.start(({ROWS}, len(cells)), torch.Generator().manual_seed({seed})), torch.Generator().manual_seed({seed + 1})
{_python_run(rule, steps)}
print(x.int())
print(tilted(loaded.dataset.exact_reverse(diffusion), Inpaint(free, known)).data)  # the patterns that fit
"""
    table = {key: [row[key] for row in done.rows] for key in ("pattern", "curve", "percent")}
    export_row("dpm-complete", python, None, table)


def _python_run(rule: str, steps: int) -> str:
    if rule == "repaint":
        options = f"steps={steps}, jump={JUMP}, resamplings={RESAMPLINGS}, generator=noise"
        return f"*_, (t, x) = repaint(model, diffusion, x_T, factor, {options})"
    return f"*_, (t, x) = walk(model, diffusion, x_T, timesteps(diffusion.T, {steps}), factor=factor, generator=noise)"


def _charts(done: Completed, rule: str) -> None:
    dark = session.is_dark()
    left, right = st.columns(2, gap="large")
    left.markdown(f"**Frequency of each completion** · {RULE_TITLES[rule].lower()}")
    inks = [ROLES[role].dark if dark else ROLES[role].light for role in ("exact", "model")]
    bars = (
        alt.Chart(alt.Data(values=done.rows))
        .mark_bar(height=7, cornerRadiusEnd=2)
        .encode(
            alt.X("percent:Q", title="% of completions"),
            alt.Y("pattern:N", title=None, sort=None, axis=alt.Axis(labelFont="monospace", labelLimit=220, ticks=False, domain=False)),
            alt.YOffset("curve:N", sort=["exact", "sampled"]),
            alt.Color("curve:N", scale=alt.Scale(domain=["exact", "sampled"], range=inks), legend=alt.Legend(orient="top", title=None)),
            tooltip=["pattern:N", "curve:N", alt.Tooltip("percent:Q", format=".1f")],
        )
    )
    left.altair_chart(bars.properties(height=130 + 17 * len(done.rows)), key="completions_chart")
    right.markdown("**Distance to the exact posterior** by rule (total variation)")
    rows = [{"rule": RULE_TITLES[name], "tv": float(value), "chosen": name == rule} for name, value in done.distances.items()]
    base = alt.Chart(alt.Data(values=rows))
    up = alt.Y("rule:N", title=None, sort=None, axis=alt.Axis(labelLimit=220, ticks=False, domain=False))
    grey = ROLES["noise"].dark if dark else ROLES["noise"].light
    tv = base.mark_bar(height=16, cornerRadiusEnd=3).encode(
        alt.X("tv:Q", title="total variation", scale=alt.Scale(domainMin=0)), up,
        color=alt.condition("datum.chosen", alt.value(inks[1]), alt.value(grey)), tooltip=["rule:N", alt.Tooltip("tv:Q", format=".3f")],
    )  # fmt: skip
    rule_mark = alt.Chart(alt.Data(values=[{"floor": done.floor}])).mark_rule(strokeDash=[5, 3], strokeWidth=1.5, color=inks[0])
    right.altair_chart(alt.layer(tv, rule_mark.encode(alt.X("floor:Q"))).properties(height=190), key="rules_chart")
    right.caption(f"Dashed: {done.floor:.3f}, the mean distance of {COUNTED:,} draws from the exact posterior itself.")
