"""What the Bound page shows: whose bits, the waterfall, each step's share, the entropies, and the paper's table."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import streamlit as st

from dpm_core import checkpoint
from dpm_core.bit_figures import entropy_chart, step_bars, waterfall
from dpm_core.bound import NATS_PER_BIT, BoundEstimate
from dpm_core.budget import Budget
from dpm_core.config import ScheduleConfig
from dpm_core.data.images import ImageSpec
from pages.shared import bits_work, cached, controls, kernel_view, number_cards, training_runs
from pages.shared.bits_work import Subject
from pages.shared.image_controls import ImageSource
from pages.shared.number_cards import number

NO_NETWORK = "exact"
WORDS = {
    "first step": "First step, never learned",
    "prior": "Prior does not match",
    "finite steps": "Finite steps, Gaussian form",
    "learning": "Learning",
}
EVERYTHING, GAINABLE = "All that a step holds", "Only what can be gained"
# Table 1 of the paper: K and K − L_null in bits, per what, and which shipped models stand beside it
PAPER = (
    ("Swiss roll", 2.35, 6.45, "point", ("swiss_roll_mlp", "swiss_roll_rbf")),
    ("Dead leaves", 1.489, 3.536, "pixel", ("dead_leaves_unet",)),
    ("CIFAR-10", 5.4, 11.5, "pixel", ("cifar10_unet",)),
    ("Bark (ours: brick)", -0.55, 1.5, "pixel", ("brick_unet",)),
)


def choose() -> Subject:
    """Whose bits, from controls. Raises CheckpointError."""
    found = checkpoint.list_checkpoints()
    running = {f"run {job.id}": job for job in training_runs.known()}
    titles = {f"run {job.id}": f"In training: {job.config.name}" for job in running.values() if job.status in training_runs.ALIVE}
    titles |= {name: kernel_view.model_title(path, path.stat().st_mtime) for name, path in found.items()}
    titles[NO_NETWORK] = "No network: the best there is"
    name = controls.choose("Model", titles, "bits_of", "swiss_roll_mlp" if "swiss_roll_mlp" in found else None)
    if name in running:
        job = running[name]
        made = training_runs.set_up(job)
        source = cached.images(made.source).spec if isinstance(made.source, ImageSource) else made.source
        return Subject(titles[name], None, source, job.config.run.schedule, job.id, job.step)
    ref, source, schedule = kernel_view.model_parts(name, found.get(name))
    return Subject(titles[name], ref, source, schedule)


def as_it_is_now(subject: Subject) -> Subject:
    """A run in training at the step it has come to; anything else as it is."""
    job = training_runs.find(subject.job) if subject.job else None
    if job is None:
        return subject
    job.touch()
    return replace(subject, step=job.step)


def plane_budget(subject: Subject, seed: int) -> Budget:
    """The budget of a subject in the plane."""
    return bits_work.plane(subject, bits_work.points(subject.schedule.T, bool(subject.job)), seed)


def prepare(subject: Subject, seed: int) -> None:
    """Do the slow work before anything is drawn. What cannot be done is said where it is drawn."""
    with contextlib.suppress(ValueError):
        if subject.images:
            image_estimate(subject, seed)
        else:
            plane_budget(as_it_is_now(subject), seed)


def image_estimate(subject: Subject, seed: int) -> BoundEstimate:
    """K of a model of images term by term. Raises ValueError, in one sentence, where that is not known."""
    if subject.ref is not None:
        return bits_work.images(subject.ref, seed)
    job = training_runs.find(subject.job)
    if job is None or (latest := job.latest()) is None or latest.estimate is None:
        raise ValueError("This run has not been measured yet; its first snapshot comes in a moment.")
    return latest.estimate


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
    model = f"&model={_name(subject)}" if subject.ref else ""
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


def paper_table() -> None:
    """Table 1 of the paper beside the shipped models, as measured when they were trained."""
    st.markdown("**Table 1 of the paper, and what ships here**")
    rows, found = [], checkpoint.list_checkpoints([checkpoint.SHIPPED])
    for title, k, gain, unit, names in PAPER:
        rows.append({"data": title, "model": "paper", "K": number(k, 3), "K − L_null": number(gain, 3), "bits per": unit, "command": ""})
        for name in names:
            if name not in found:
                continue
            header = checkpoint.read_header(found[name])
            shape = header["data"].get("shape")
            divide = shape[1] * shape[2] if shape else 1
            value, error, null = (header[key] / divide for key in ("bound_bits", "bound_standard_error_bits", "null_bits"))
            rows.append(
                {
                    "data": "",
                    "model": name,
                    "K": f"{number(value, 3)} ± {error:.2g}",
                    "K − L_null": number(value - null, 3),
                    "bits per": unit,
                    "command": f"python -m dpm_core evaluate {name}",
                }
            )
    st.dataframe(rows, hide_index=True, width="stretch")
    st.caption(
        "All data are scaled to variance 1. The paper does not say how noisy its swiss roll was, and its K depends on that most: "
        "ours has σ = 0.03. Images here are whole grey levels with uniform noise of one level, cut to 32 × 32, so their bits are those of "
        "this preprocessing; the paper's bark is not at hand, brick stands in its row."
    )


def table(subject: Subject, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """What every step holds in bits, as arrays and as lists; nothing where it is not known."""
    try:
        if subject.images:
            kl = {"kl": image_estimate(subject, seed).kl_per_time_nats()}
        else:
            found = plane_budget(as_it_is_now(subject), seed)
            kl = {name: getattr(found, name) for name in ("irreducible", "gaussian", "learning", "gaussian_error", "learning_error")}
    except ValueError:
        return {}, {}
    columns = {f"{name}_bits": (nats / NATS_PER_BIT).numpy() for name, nats in kl.items()}
    columns = {"t": np.arange(2, subject.schedule.T + 1)} | columns
    return columns, {name: values.tolist() for name, values in columns.items()}


def python(subject: Subject, seed: int) -> str:
    """The Python that makes the budget."""
    if subject.images or subject.job:
        name = subject.title if subject.job else _name(subject)
        return f"""import torch
from dpm_core import checkpoint
from dpm_core.bound import estimate_bound
from dpm_core.data.sources import of_checkpoint

loaded = checkpoint.load({name!r})  # a run in training: keep it first
images = of_checkpoint(loaded.dataset, loaded.config.data).sample_held_out(256, torch.Generator().manual_seed({seed}))
found = estimate_bound(loaded.model, loaded.diffusion, images, torch.Generator().manual_seed({seed}), chunk=32)
print(found.bound_bits, found.standard_error_bits, found.null_bits, found.kl_per_time_nats())
"""
    if subject.ref is None:
        made = f"""data = {controls.python_data(subject.source)}
diffusion = GaussianDiffusion({controls.python_schedule(subject.schedule)})
model = None"""
    else:
        made = f"loaded = checkpoint.load({_name(subject)!r})\ndata, diffusion, model = loaded.dataset, loaded.diffusion, loaded.model"
    return f"""import torch
from dpm_core import checkpoint
from dpm_core.budget import budget
from dpm_core.data import toy2d, uploads
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.schedules import make_schedule

{made}
x0 = data.sample({bits_work.points(subject.schedule.T)}, torch.Generator().manual_seed({seed + 1_000_003}))
found = budget(model, data.exact_reverse(diffusion), diffusion, x0, torch.Generator().manual_seed({seed}))
print(found.bound_bits, found.best_bits, found.parts_bits, found.errors_bits)
"""


def _name(subject: Subject) -> str:
    return "" if subject.ref is None else Path(subject.ref.path).stem
