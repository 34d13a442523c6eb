"""What the Bound page shows: the waterfall, each step's share, and the entropies between their bounds."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dpm_core.bit_figures import entropy_chart, step_bars, waterfall
from dpm_core.bound import NATS_PER_BIT, BoundEstimate
from dpm_core.budget import Budget
from dpm_core.config import ScheduleConfig
from dpm_core.data.images import ImageSpec
from pages.shared import bits_work, bound_subject, controls, number_cards
from pages.shared.bits_work import Subject
from pages.shared.number_cards import number

WORDS = {
    "first step": "First step, never learned",
    "prior": "Prior does not match",
    "finite steps": "Finite steps, Gaussian form",
    "learning": "Learning",
}
EVERYTHING, GAINABLE = "All that a step holds", "Only what can be gained"


def cards(found: Budget) -> None:
    """K between its limits."""
    errors, data = found.errors_bits, -found.entropy / NATS_PER_BIT
    error = float(np.hypot(errors["finite steps"], errors["learning"]))
    number_cards.show(
        [
            ("What it knows, K", f"{number(found.bound_bits)} bits", f"± {error:.2g}, per point"),
            ("The best Gaussian chain", f"{number(found.best_bits)} bits", "at this T and schedule"),
            ("The data, −h", f"{number(data)} bits", "no model can know more"),
            ("Nothing learned, L_null", f"{number(found.null / NATS_PER_BIT)} bits", "the data under π"),
            ("Missing, −h − K", f"{number(data - found.bound_bits)} bits", f"{number(found.parts_bits['learning'], 3)} of it learning"),
        ]
    )


def budget_rows(found: Budget, learned: bool) -> list[dict]:
    """The waterfall from L_null up to −h."""
    parts, errors = found.parts_bits, found.errors_bits
    null, data = found.null / NATS_PER_BIT, -found.entropy / NATS_PER_BIT
    known = found.bound_bits
    rows = [_level("L_null: nothing learned", null, "noise")]
    role = "model" if learned else "exact"
    rows.append({"label": "What it knows", "start": null, "end": known, "role": role, "words": _signed(known - null)})
    rows.append(_level("K", known, role))
    at = known
    for name in ("learning", "finite steps", "prior", "first step"):
        if name == "learning" and not learned:
            continue
        spread = f" ± {errors[name]:.2g}" if name in errors else ""
        role = {"learning": "model", "finite steps": "exact"}.get(name, "noise")
        rows.append({"label": WORDS[name], "start": at, "end": at + parts[name], "role": role, "words": f"{_signed(parts[name])}{spread}"})
        at += parts[name]
    return [*rows, _level("−h: the data", data, "data")]


def _level(label: str, value: float, role: str) -> dict:
    return {"label": label, "start": value, "end": value, "role": role, "words": number(value)}


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'} {abs(value):.3f}"


def budget_charts(subject: Subject, found: Budget) -> None:
    """The waterfall, and what every step holds."""
    dark = st.context.theme.type == "dark"
    st.markdown("**Where every bit goes**, from nothing learned up to all there is to know")
    st.altair_chart(waterfall(budget_rows(found, subject.model() is not None), "bits per point", dark), key="waterfall")
    st.markdown("**Step by step**")
    shown = st.segmented_control(
        "Shown", [EVERYTHING, GAINABLE], default=GAINABLE, key="bits_shown", label_visibility="collapsed", required=True
    )
    parts = {
        "no kernel can remove": (found.irreducible, "noise"),
        "finite steps, Gaussian form": (found.gaussian, "exact"),
        "learning": (found.learning, "model"),
    }
    if shown == GAINABLE:
        del parts["no kernel can remove"]
    if subject.model() is None:
        del parts["learning"]
    bits = {label: ((nats / NATS_PER_BIT).numpy(), role) for label, (nats, role) in parts.items()}
    picked = st.altair_chart(step_bars(bits, "bits", dark), on_select="rerun", selection_mode="step", key="step_bars")
    _at_step(subject, found, picked)


def _at_step(subject: Subject, found: Budget, picked) -> None:
    rows = picked.selection.get("step") or []
    if not rows:
        st.caption(
            "Click a bar for its numbers, and to see that step on the other pages. Each term of Eq. 14 is I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾), which no "
            "kernel can remove, plus what the best Gaussian loses, plus what the network loses to that."
        )
        return
    t = int(rows[0]["t"])
    values = {
        "irreducible": found.irreducible[t - 2],
        "finite steps": found.gaussian[t - 2],
        "learning": found.learning[t - 2],
    }
    words = ", ".join(f"{name} {number(float(value) / NATS_PER_BIT, 4)}" for name, value in values.items())
    model = f"&model={bound_subject.file_name(subject)}" if subject.ref else ""
    st.markdown(f"Step t = {t}, in bits: {words}. See it on [Forward](/forward?t={t}) or [Reverse](/reverse?t={t}{model}).")


def image_bits(subject: Subject, found: BoundEstimate) -> None:
    """What is known of a model of images, and a sentence on what is not."""
    spec = subject.source
    assert isinstance(spec, ImageSpec)
    pixels, dark = spec.pixels_count, st.context.theme.type == "dark"
    k, error, null = (value / pixels for value in (found.bound_bits, found.standard_error_bits, found.null_bits))
    number_cards.show(
        [
            ("What it knows, K", f"{number(k, 3)} bits", f"± {error:.2g}, per pixel"),
            ("Nothing learned, L_null", f"{number(null, 3)} bits", "the data under π"),
            ("Learned, K − L_null", f"{number(k - null, 3)} bits", "per pixel"),
        ]
    )
    st.caption(
        "Nobody knows the density of these images, so −h and the best chain are not known, and a term cannot be split into what no kernel "
        f"removes and what better learning would. What every step holds is: from {len(found.t)} pairs of a held-out image and a time."
    )
    bits = (found.kl_per_time_nats() / NATS_PER_BIT / pixels).numpy()
    st.altair_chart(step_bars({"KL of the step": (bits, "model")}, "bits per pixel", dark), key="image_bars")


def entropy_section(source: controls.PlaneSource, schedule: ScheduleConfig) -> None:
    """Eq. 24, with data that may be too wide for it."""
    st.markdown("**The entropy of a step back lies between two bounds** (Eq. 24), or does it?")
    left, right = st.columns([0.72, 0.28], gap="large", vertical_alignment="center")
    with right:
        scale = controls.linked(
            st.select_slider, "Width of the data", [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0], 1.0, key="width",
            format_func=lambda s: f"× {s:g}",
        )  # fmt: skip
        lower, upper, true = bits_work.entropies(source, schedule, scale)
        out = int((true > upper + 1e-4).sum())
        if out:
            st.markdown(
                f"The upper bound **fails at {out} of {len(true)} steps**. It takes for granted that diffusing adds entropy, "
                "H(X⁽ᵗ⁾) ≥ H(X⁽ᵗ⁻¹⁾). Data wider than the noise lose entropy on the way to N(0, I) instead."
            )
        else:
            st.markdown("The true entropy, by quadrature, is between them at every step: noise only adds entropy to data this narrow.")
    left.altair_chart(entropy_chart(lower, upper, true, st.context.theme.type == "dark"), key="entropies")
