"""What the Bound page shows: the budget as cards, waterfall and bars over t, and the entropy between its bounds."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dpm_core.config import ScheduleConfig
from dpm_core.figures.budget_charts import entropy_chart, waterfall
from dpm_core.measure.bound import NATS_PER_BIT, BoundEstimate
from dpm_core.measure.budget import Budget
from pages.ui import kinds, session
from pages.ui.bound import compute
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.player import player
from pages.ui.components.step_bars import step_bars
from pages.ui.kinds.records import BoundWords, Model

PARTS = {"first_step": "Fixed first step", "prior_mismatch": "Mismatch with the prior", "learning": "Learning gap"}
CLOCK = "bits"
ALL, REDUCIBLE = "All terms", "Reducible terms only"


def cards(found: Budget, model: Model, words: BoundWords) -> None:
    """K between its baseline and its upper limit."""
    errors, limit = found.errors_bits, -found.entropy / NATS_PER_BIT
    learning = f"learning gap {number(found.parts_bits['learning'], 3)} {plus_minus(errors['learning'])}"
    gap = f"{plus_minus(found.bound_error_bits)}, of which {learning}"
    best = f"{plus_minus(errors['discretisation'])}, exact moments, this T and schedule"
    note = f"{plus_minus(found.bound_error_bits)}, " + (f"at step {model.step:,}" if model.run_id else words.unit)
    number_cards.show(
        [
            ("ELBO K (lower bound on log p)", f"{number(found.bound_bits)} bits", note),
            (f"Best K with {words.steps} steps", f"{number(found.best_bits)} bits", best),
            (f"Negative entropy, {words.limit}", f"{number(limit)} bits", "upper limit of K"),
            ("Baseline L_null", f"{number(found.null / NATS_PER_BIT)} bits", "log-likelihood under the prior π"),
            (f"Gap to the limit, {words.limit} − K", f"{number(limit - found.bound_bits)} bits", gap),
        ]
    )  # fmt: skip


def budget_rows(found: Budget, learned: bool, words: BoundWords) -> list[dict]:
    """The rows of the waterfall from L_null up to the negative entropy of the data."""
    parts, errors = found.parts_bits, found.errors_bits
    null, limit, known = found.null / NATS_PER_BIT, -found.entropy / NATS_PER_BIT, found.bound_bits
    role = "model" if learned else "exact"
    rows = [
        _level("Baseline L_null", null, "noise"),
        {"label": "K − L_null", "start": null, "end": known, "role": role, "words": _signed(known - null)},
        _level("ELBO K", known, role, found.bound_error_bits),
    ]
    labels, at = PARTS | {"discretisation": words.discretisation}, known
    for name in ("learning", "discretisation", "prior_mismatch", "first_step"):
        if name == "learning" and not learned:
            continue
        spread = f" {plus_minus(errors[name])}" if name in errors else ""
        role = {"learning": "model", "discretisation": "exact"}.get(name, "noise")
        rows.append({"label": labels[name], "start": at, "end": at + parts[name], "role": role, "words": f"{_signed(parts[name])}{spread}"})
        at += parts[name]
    return [*rows, _level(f"Upper limit {words.limit}", limit, "data")]


def _level(label: str, value: float, role: str, error: float | None = None) -> dict:
    words = number(value) if error is None else f"{number(value, 3)} {plus_minus(error)}"
    return {"label": label, "start": value, "end": value, "role": role, "words": words}


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '−'} {abs(value):.3f}"


def budget_charts(model: Model, found: Budget, words: BoundWords, seed: int) -> None:
    """The waterfall, and the contribution of every step."""
    dark = session.is_dark()
    st.markdown(f"**The budget of bits**: from the baseline L_null to the upper limit {words.limit}")
    st.altair_chart(waterfall(budget_rows(found, model.has_network, words), f"bits {words.unit}", dark), key="waterfall")
    st.markdown("**Contribution of every step t**, in bits")
    shown = st.segmented_control(
        "Shown", [ALL, REDUCIBLE], default=REDUCIBLE, key="bits_shown", label_visibility="collapsed", required=True
    )
    parts = {
        "irreducible": (found.irreducible, "noise"),
        words.discretisation[0].lower() + words.discretisation[1:]: (found.discretisation, "exact"),
        "learning gap": (found.learning, "model"),
    }
    if shown == REDUCIBLE:
        del parts["irreducible"]
    if not model.has_network:
        del parts["learning gap"]
    bits = {label: ((nats / NATS_PER_BIT).numpy(), role) for label, (nats, role) in parts.items()}
    payload = None if model.run_id else kinds.of(model.source).bound_stage(model, seed, CLOCK)  # samples of a run are on Train
    if payload is not None:
        player(payload, key="bits_player")
    t = step_bars(bits, model.schedule.T, "bits", CLOCK if payload is not None else "", key="step_bars")
    _at_step(model, found, words, t)


def _at_step(model: Model, found: Budget, words: BoundWords, t: int | None) -> None:
    if t is None:
        st.caption(
            "Each KL term of Eq. 14 is the sum of three parts: I(X⁽ᵗ⁻¹⁾;X⁽⁰⁾|X⁽ᵗ⁾), which no reverse kernel can remove; the "
            f"discretisation gap, which {words.steps} steps cannot remove at this T; and the learning gap of the network. "
            "Click a bar to see its t on other pages."
        )
        return
    values = {
        "irreducible": (found.irreducible, None),
        "discretisation gap": (found.discretisation, found.discretisation_error),
        "learning gap": (found.learning, found.learning_error),
    }
    parts = ", ".join(
        f"{name} {number(float(nats[t - 2]) / NATS_PER_BIT, 4)}" + ("" if error is None else f" ± {float(error[t - 2]) / NATS_PER_BIT:.1g}")
        for name, (nats, error) in values.items()
    )
    query = f"&model={model.ref.name}" if model.ref else ""
    st.markdown(f"Step t = {t}, in bits: {parts}. Open it on [Forward](/forward?t={t}) or [Reverse](/reverse?t={t}{query}).")


def estimate(model: Model, found: BoundEstimate, words: BoundWords) -> None:
    """K alone, where the budget cannot be split, and why."""
    k, error, null = (value / words.divisor for value in (found.bound_bits, found.standard_error_bits, found.null_bits))
    note = f"{plus_minus(error)}, " + (f"at step {model.step:,}" if model.run_id else words.unit)
    cards = [
        ("ELBO K (lower bound on log p)", f"{number(k, 3)} bits", note),
        ("Baseline L_null", f"{number(null, 3)} bits", "log-likelihood under the prior π"),
        ("Gain over the baseline, K − L_null", f"{number(k - null, 3)} bits", words.unit),
    ]
    if words.code_length:
        length = words.code_length(found.bound_bits)
        spread = abs(words.code_length(found.bound_bits + found.standard_error_bits) - length)
        cards += [("Bits per dimension", f"{number(length, 3)} bits", f"{plus_minus(spread)}, code length of a grey level; less is better")]
    number_cards.show(cards)
    st.caption(
        f"{words.unknown}, so neither the upper limit {words.limit} nor the exact kernel is known, and a KL term cannot be split into an "
        f"irreducible part and a learning gap. The bars show the whole KL term of each step, from {len(found.t):,} pairs of a held-out "
        "datum and a time."
    )
    bits = (found.kl_per_time_nats() / NATS_PER_BIT / words.divisor).numpy()
    step_bars({"KL of the step": (bits, "model")}, model.schedule.T, f"bits {words.unit}", "", key="image_bars")


def entropy_bounds(source: Any, schedule: ScheduleConfig) -> None:
    """Eq. 24, with data that may be too wide for it."""
    st.markdown("**Bounds on the entropy of the reverse step** (Eq. 24), with the exact value")
    left, right = st.columns([0.72, 0.28], gap="large", vertical_alignment="center")
    with right:
        scale = session.bind(
            st.select_slider, "Multiply the data by", [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0], 1.0, key="width",
            format_func=lambda s: f"× {s:g}",
        )  # fmt: skip
        lower, upper, true = compute.entropies(source, schedule, scale)
        out = int((true > upper + 1e-4).sum())
        if out:
            st.markdown(
                f"The upper bound **fails at {out} of {len(true)} steps**. It assumes that a forward step adds entropy, "
                "H(X⁽ᵗ⁾) ≥ H(X⁽ᵗ⁻¹⁾). Data with a larger variance than the prior lose entropy on the way to N(0, I)."
            )
        else:
            st.markdown("The exact entropy, by quadrature, lies between the bounds at every step: each forward step adds entropy.")
    left.altair_chart(entropy_chart(lower, upper, true, session.is_dark()), key="entropies")
