"""Whose bits the Bound page shows, their budget, and what can be taken along."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from dpm_core import checkpoints, jobs
from dpm_core.measure.bound import NATS_PER_BIT, BoundEstimate
from dpm_core.measure.budget import Budget
from pages.ui import cache
from pages.ui.bound import compute
from pages.ui.bound.compute import Subject
from pages.ui.controls import widgets
from pages.ui.kinds.bits import bit_controls
from pages.ui.kinds.images.image_controls import ImageSource
from pages.ui.kinds.points import selected_point
from pages.ui.training import session_runs

NO_NETWORK = "exact"


def choose() -> Subject:
    """Whose bits, from controls. Raises CheckpointError."""
    found = checkpoints.list_checkpoints()
    latest: dict[str, jobs.Job] = {}
    for job in session_runs.known():  # the last one first: a name stands for its last run
        latest.setdefault(job.config.name, job)
    running = {f"run {job.id}": job for job in latest.values()}
    titles = {name: f"Run: {job.config.name}" for name, job in running.items()}
    titles |= {name: selected_point.model_title(path, path.stat().st_mtime) for name, path in found.items()}
    titles[NO_NETWORK] = "No network: the best there is"
    name = widgets.choose("Model", titles, "bits_of", "swiss_roll_mlp" if "swiss_roll_mlp" in found else None)
    if name in running:
        job = running[name]
        made = session_runs.set_up(job)
        source = cache.images(made.source).spec if isinstance(made.source, ImageSource) else made.source  # points and bits as they are
        return Subject(job.config.name, None, source, job.config.run.schedule, job.id, job.step)
    ref, source, schedule = selected_point.model_parts(name, found.get(name))
    return Subject(titles[name], ref, source, schedule)


def as_it_is_now(subject: Subject) -> Subject:
    """A run in training at the step it has come to; anything else as it is."""
    job = session_runs.find(subject.job) if subject.job else None
    if job is None:
        return subject
    job.keep_alive()
    latest = job.latest()  # images are measured by the run itself, at its snapshots
    return replace(subject, step=latest.step if subject.images and latest else job.step)


def split(subject: Subject, seed: int) -> Budget:
    """The budget of a subject in the plane or of bits."""
    return compute.split(subject, compute.points(subject.schedule.T, bool(subject.job)), seed)


def image_estimate(subject: Subject, seed: int) -> BoundEstimate:
    """K of a model of images term by term. Raises ValueError, in one sentence, where that is not known."""
    if subject.ref is not None:
        return compute.images(subject.ref, seed)
    if not subject.job:
        raise ValueError(
            "Without a network there is only the best chain, and these bits have too many patterns to find it; choose a model."
        )
    if subject.bits:
        return compute.flipped(subject, seed)
    job = session_runs.find(subject.job)
    if job is None or (latest := job.latest()) is None or latest.estimate is None:
        raise ValueError("This run has not been measured yet; its first snapshot comes in a moment.")
    return latest.estimate


def prepare(subject: Subject, seed: int) -> None:
    """Do the slow work before anything is drawn. What cannot be done is said where it is drawn."""
    with contextlib.suppress(ValueError):
        if subject.images:
            image_estimate(subject, seed)
        else:
            split(as_it_is_now(subject), seed)


def table(subject: Subject, seed: int) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """What every step holds in bits, as arrays and as lists; nothing where it is not known."""
    try:
        if subject.images:
            kl = {"kl": image_estimate(subject, seed).kl_per_time_nats()}
        else:
            found = split(as_it_is_now(subject), seed)
            kl = {name: getattr(found, name) for name in ("irreducible", "discretisation", "learning", "discretisation_error", "learning_error")}
    except ValueError:
        return {}, {}
    columns = {f"{name}_bits": (nats / NATS_PER_BIT).numpy() for name, nats in kl.items()}
    columns = {"t": np.arange(2, subject.schedule.T + 1)} | columns
    return columns, {name: values.tolist() for name, values in columns.items()}


def python(subject: Subject, seed: int) -> str:
    """The Python that makes the budget."""
    if subject.images and subject.ref is None and not subject.job:
        return "# These bits have too many patterns for a best chain without a network: choose a model."
    if subject.images or subject.job:
        name = subject.title if subject.job else file_name(subject)
        return f"""import torch
from dpm_core import checkpoints, jobs
from dpm_core.measure.bound import estimate_bound
from dpm_core.data.sources import of_checkpoint

loaded = checkpoints.load({name!r})  # a run in training: keep it first
images = of_checkpoint(loaded.dataset, loaded.config.data).sample_held_out(256, torch.Generator().manual_seed({seed}))
found = estimate_bound(loaded.model, loaded.diffusion, images, torch.Generator().manual_seed({seed}), chunk=32)
print(found.bound_bits, found.standard_error_bits, found.null_bits, found.kl_per_time_nats())
"""
    if subject.bits:
        return _python_of_bits(subject, seed)
    if subject.ref is None:
        made = f"""data = {widgets.python_data(subject.source)}
diffusion = GaussianDiffusion({widgets.python_schedule(subject.schedule)})
model = None"""
    else:
        made = f"loaded = checkpoints.load({file_name(subject)!r})\ndata, diffusion, model = loaded.dataset, loaded.diffusion, loaded.model"
    return f"""import torch
from dpm_core import checkpoints, jobs
from dpm_core.measure.budget import budget
from dpm_core.data import toy2d, uploads
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

{made}
x0 = data.sample({compute.points(subject.schedule.T)}, torch.Generator().manual_seed({seed + 1_000_003}))
found = budget(model, data.exact_reverse(diffusion), diffusion, x0, torch.Generator().manual_seed({seed}))
print(found.bound_bits, found.best_bits, found.parts_bits, found.errors_bits)
"""


def _python_of_bits(subject: Subject, seed: int) -> str:
    if subject.ref is None:
        made = f"""data = {bit_controls.python(subject.source)}
diffusion = BinomialDiffusion({widgets.python_schedule(subject.schedule)}, {cache.bits(subject.source).rate:.6g})
model = None"""
    else:
        made = f"loaded = checkpoints.load({file_name(subject)!r})\ndata, diffusion, model = loaded.dataset, loaded.diffusion, loaded.model"
    return f"""import numpy as np
import torch
from dpm_core import checkpoints
from dpm_core.measure.bit_budget import bit_budget
from dpm_core.data import uploads
from dpm_core.data.bits import make_bits
from dpm_core.process import BinomialDiffusion
from dpm_core.schedules import make_schedule

{made}
x0 = data.sample({compute.points(subject.schedule.T)}, torch.Generator().manual_seed({seed + 1_000_003}))
found = bit_budget(model, data.exact_reverse(diffusion), diffusion, x0, torch.Generator().manual_seed({seed}))
print(found.bound_bits, found.best_bits, found.parts_bits, found.errors_bits)
"""


def file_name(subject: Subject) -> str:
    """Of its checkpoint, without the ending; "" when it has none."""
    return "" if subject.ref is None else Path(subject.ref.path).stem
