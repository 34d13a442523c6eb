"""What the Bound page shows: the waterfall, each step's share, and the entropies between their bounds."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.figures.budget_charts import entropy_chart, waterfall
from dpm_core.measure.bound import NATS_PER_BIT, BoundEstimate
from dpm_core.measure.budget import Budget
from pages.ui import cache
from pages.ui.bound import compute, subjects
from pages.ui.bound.compute import Subject
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number
from pages.ui.components.player import Panel, Stage, pack, player
from pages.ui.components.step_bars import step_bars
from pages.ui.controls import widgets
from pages.ui.kinds.bits import bit_work, views
from pages.ui.kinds.bits.bit_controls import BitSource
from pages.ui.kinds.points import recordings, stages
from pages.ui.kinds.points.recordings import SamplerConfig

WORDS = {
    "first step": "First step, never learned",
    "prior": "Prior does not match",
    "discretisation": "Finite steps, Gaussian form",
    "learning": "Learning",
}
CLOCK, PARTICLES, ROWS = "bits", 1500, 40
EVERYTHING, GAINABLE = "All that a step holds", "Only what can be gained"


def cards(found: Budget, subject: Subject) -> None:
    """K between its limits."""
    errors, data = found.errors_bits, -found.entropy / NATS_PER_BIT
    error = float(np.hypot(errors["discretisation"], errors["learning"]))
    number_cards.show(
        [
            (
                "What it knows, K",
                f"{number(found.bound_bits)} bits",
                f"± {error:.2g}, " + (f"at step {subject.step:,}" if subject.job else _per(subject)),
            ),
            (f"The best {_form(subject)} chain", f"{number(found.best_bits)} bits", "at this T and schedule"),
            ("The data, −H" if subject.bits else "The data, −h", f"{number(data)} bits", "no model can know more"),
            ("Nothing learned, L_null", f"{number(found.null / NATS_PER_BIT)} bits", "the data under π"),
            ("Missing, −h − K", f"{number(data - found.bound_bits)} bits", f"{number(found.parts_bits['learning'], 3)} of it learning"),
        ]
    )


def _per(subject: Subject) -> str:
    return "per datum" if subject.bits else "per point"


def _form(subject: Subject) -> str:
    return "bit-by-bit" if subject.bits else "Gaussian"


def _words(subject: Subject) -> dict[str, str]:
    return WORDS | ({"discretisation": "Finite steps, bits apart"} if subject.bits else {})


def budget_rows(found: Budget, learned: bool, words: dict[str, str] = WORDS) -> list[dict]:
    """The waterfall from L_null up to −h; ``words`` for its parts."""
    parts, errors = found.parts_bits, found.errors_bits
    null, data = found.null / NATS_PER_BIT, -found.entropy / NATS_PER_BIT
    known = found.bound_bits
    rows = [_level("L_null: nothing learned", null, "noise")]
    role = "model" if learned else "exact"
    rows.append({"label": "What it knows", "start": null, "end": known, "role": role, "words": _signed(known - null)})
    rows.append(_level("K", known, role))
    at = known
    for name in ("learning", "discretisation", "prior", "first step"):
        if name == "learning" and not learned:
            continue
        spread = f" ± {errors[name]:.2g}" if name in errors else ""
        role = {"learning": "model", "discretisation": "exact"}.get(name, "noise")
        rows.append({"label": words[name], "start": at, "end": at + parts[name], "role": role, "words": f"{_signed(parts[name])}{spread}"})
        at += parts[name]
    return [*rows, _level("−h: the data", data, "data")]


def _level(label: str, value: float, role: str) -> dict:
    return {"label": label, "start": value, "end": value, "role": role, "words": number(value)}


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'} {abs(value):.3f}"


def budget_charts(subject: Subject, found: Budget, seed: int) -> None:
    """The waterfall, and what every step holds."""
    dark = st.context.theme.type == "dark"
    st.markdown("**Where every bit goes**, from nothing learned up to all there is to know")
    rows = budget_rows(found, subject.model() is not None, _words(subject))
    st.altair_chart(waterfall(rows, f"bits {_per(subject)}", dark), key="waterfall")
    st.markdown("**Step by step**")
    shown = st.segmented_control(
        "Shown", [EVERYTHING, GAINABLE], default=GAINABLE, key="bits_shown", label_visibility="collapsed", required=True
    )
    parts = {
        "no kernel can remove": (found.irreducible, "noise"),
        "finite steps, bits apart" if subject.bits else "finite steps, Gaussian form": (found.discretisation, "exact"),
        "learning": (found.learning, "model"),
    }
    if shown == GAINABLE:
        del parts["no kernel can remove"]
    if subject.model() is None:
        del parts["learning"]
    bits = {label: ((nats / NATS_PER_BIT).numpy(), role) for label, (nats, role) in parts.items()}
    if not subject.job:  # a run's samples are on the Train page
        player(stage(subject, seed), key="bits_player")
    t = step_bars(bits, subject.schedule.T, "bits", "" if subject.job else CLOCK, key="step_bars")
    _at_step(subject, found, t)


@st.cache_data(max_entries=8, show_spinner=False)
def stage(subject: Subject, seed: int) -> bytes:
    """The data on their way into noise and the samples on their way back, for the bars to lead."""
    if isinstance(subject.source, BitSource):
        steps = min(views.USUAL_STEPS, subject.schedule.T)
        return bit_work.pair(subject.ref, subject.source, subject.schedule, steps, ROWS, seed, CLOCK)
    assert isinstance(subject.source, widgets.PlaneSource)
    how = SamplerConfig("ancestral", None, 0.0, PARTICLES, seed)
    back = recordings.reverse(subject.ref, subject.source, subject.schedule, how).left
    data = recordings.truth(subject.source, subject.schedule, how, back)
    title, role = ("learned, one step back after the other", "model") if subject.ref else ("exact Gaussian steps back", "exact")
    panels = (Panel("data", "data, diffused to t", "data", data.x), Panel("back", title, role, back.x))
    times = [int(t) for t in back.times]
    return pack(Stage(panels, times, subject.schedule.T, stages.LO, stages.HI, height="hero", name="dpm-bound", clock=CLOCK, start=0))


def _at_step(subject: Subject, found: Budget, t: int | None) -> None:
    if t is None:
        st.caption(
            "Click a bar to take its t along. Each term of Eq. 14 is I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾), which no kernel can remove, plus what the best "
            + ("chance of each bit by itself" if subject.bits else "Gaussian")
            + " loses, plus what the network loses to that."
        )
        return
    values = {"irreducible": found.irreducible, "discretisation": found.discretisation, "learning": found.learning}
    words = ", ".join(f"{name} {number(float(nats[t - 2]) / NATS_PER_BIT, 4)}" for name, nats in values.items())
    model = f"&model={subjects.file_name(subject)}" if subject.ref else ""
    st.markdown(f"Step t = {t}, in bits: {words}. See it on [Forward](/forward?t={t}) or [Reverse](/reverse?t={t}{model}).")


def whole_bits(subject: Subject, found: BoundEstimate) -> None:
    """K alone, of images and of bits with too many patterns, and a sentence on what is not known."""
    spec, sequences = subject.source, False
    if isinstance(spec, BitSource):
        data = cache.bits(spec)
        sequences, pixels = len(data.shape) == 1, 1 if len(data.shape) == 1 else data.dims
        unknown = "These are too many patterns of bits to sum over" if data.listed else "Nobody knows how likely each of these patterns is"
    else:
        pixels, unknown = spec.pixels_count, "Nobody knows the density of these images"
    per = "per datum" if sequences else "per pixel"
    k, error, null = (value / pixels for value in (found.bound_bits, found.standard_error_bits, found.null_bits))
    number_cards.show(
        [
            ("What it knows, K", f"{number(k, 3)} bits", f"± {error:.2g}, " + (f"at step {subject.step:,}" if subject.job else per)),
            ("Nothing learned, L_null", f"{number(null, 3)} bits", "the data under π"),
            ("Learned, K − L_null", f"{number(k - null, 3)} bits", per),
        ]
    )
    st.caption(
        f"{unknown}, so −h and the best chain are not known, and a term cannot be split into what no kernel removes and what better "
        f"learning would. What every step holds is: from {len(found.t):,} pairs of a held-out datum and a time."
    )
    bits = (found.kl_per_time_nats() / NATS_PER_BIT / pixels).numpy()
    step_bars({"KL of the step": (bits, "model")}, subject.schedule.T, f"bits {per}", "", key="image_bars")


def entropy_section(source: widgets.PlaneSource, schedule: ScheduleConfig) -> None:
    """Eq. 24, with data that may be too wide for it."""
    st.markdown("**The entropy of a step back lies between two bounds** (Eq. 24), or does it?")
    left, right = st.columns([0.72, 0.28], gap="large", vertical_alignment="center")
    with right:
        scale = widgets.linked(
            st.select_slider, "Width of the data", [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0], 1.0, key="width",
            format_func=lambda s: f"× {s:g}",
        )  # fmt: skip
        lower, upper, true = compute.entropies(source, schedule, scale)
        out = int((true > upper + 1e-4).sum())
        if out:
            st.markdown(
                f"The upper bound **fails at {out} of {len(true)} steps**. It takes for granted that diffusing adds entropy, "
                "H(X⁽ᵗ⁾) ≥ H(X⁽ᵗ⁻¹⁾). Data wider than the noise lose entropy on the way to N(0, I) instead."
            )
        else:
            st.markdown("The true entropy, by quadrature, is between them at every step: noise only adds entropy to data this narrow.")
    left.altair_chart(entropy_chart(lower, upper, true, st.context.theme.type == "dark"), key="entropies")
