"""Which model the Bound page shows, its budget, and what can be downloaded."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np

from dpm_core import jobs
from dpm_core.measure.bound import NATS_PER_BIT
from pages.ui import kinds
from pages.ui.kinds import menu, runs
from pages.ui.kinds.records import Export, Model, Snippet

COLUMNS = ("irreducible", "discretisation", "learning", "discretisation_error", "learning_error")


def choose() -> Model:
    """A run in training, a checkpoint or no network, from controls. Raises CheckpointError, DataError, OSError."""
    latest: dict[str, jobs.Job] = {}
    for job in runs.known():  # the newest first: a name stands for its last run
        latest.setdefault(job.config.name, job)
    running = {f"run {job.id}": job for job in latest.values()}
    name = menu.choose_model("bits_of", exact=True, extra={key: f"Run: {job.config.name}" for key, job in running.items()})
    if name in running:
        job = running[name]
        return Model(job.config.name, None, runs.setup_of(job).source, job.config.run.schedule, job.id, job.step)
    return menu.model_of(name)


def current(model: Model) -> Model:
    """A run in training at its present step, or at its last snapshot where that is what is measured; another model as it is."""
    job = runs.find(model.run_id) if model.run_id else None
    if job is None:
        return model
    job.keep_alive()
    latest, kind = job.latest(), kinds.of(model.source)
    return replace(model, step=latest.step if latest and kind.measures_snapshots else job.step)


def prepare(model: Model, seed: int) -> None:
    """Do the slow work before anything is drawn. What cannot be computed is reported where it is drawn."""
    kind, now = kinds.of(model.source), current(model)
    with contextlib.suppress(ValueError):
        if kind.budget(now, seed) is None:
            kind.bound_estimate(now, seed)


def export(model: Model, seed: int) -> Export:
    """The contributions of every step in bits, and the Python that computes them."""
    kind, now = kinds.of(model.source), current(model)
    try:
        found = kind.budget(now, seed)
        nats = {"kl": kind.bound_estimate(now, seed).kl_per_time_nats()} if found is None else {c: getattr(found, c) for c in COLUMNS}
    except ValueError:
        return Export("dpm-bound", "# K of this model is not known here; choose another model.")
    columns = {"t": np.arange(2, model.schedule.T + 1)} | {f"{name}_bits": (value / NATS_PER_BIT).numpy() for name, value in nats.items()}
    python = _estimate_python(model, seed) if found is None or model.run_id else _budget_python(model, seed)
    return Export("dpm-bound", python, columns, {name: values.tolist() for name, values in columns.items()})


def _estimate_python(model: Model, seed: int) -> str:
    load, of_class = (model.ref.python, model.ref.python_class) if model.ref else (f"checkpoints.load({model.title!r})", "")
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.data.sources import of_checkpoint
from dpm_core.measure.bound import estimate_bound

loaded = {load}  # save a run in training first
data = of_checkpoint(loaded.dataset, loaded.config.data){of_class}
x0 = data.sample_held_out(256, torch.Generator().manual_seed({seed}))
groups = DATA_KINDS[data.kind].held_out_groups(data, 256, {seed})  # overlapping cuts of a picture are not independent
found = estimate_bound(loaded.model, loaded.diffusion, x0, torch.Generator().manual_seed({seed}), 32, groups)
print(found.bound_bits, found.standard_error_bits, found.null_bits, found.kl_per_time_nats())
"""


def _budget_python(model: Model, seed: int) -> str:
    kind = kinds.of(model.source)
    module, function = kind.bound_words(model.source).budget_function.split(":")
    if model.ref is None:
        made = kind.snippet(model.source, model.schedule)
        made = Snippet(made.imports, made.statements + "\nmodel = None")
    else:
        made = Snippet(
            "from dpm_core import checkpoints",
            f"loaded = {model.ref.python}\ndata, diffusion, model = loaded.dataset, loaded.diffusion, loaded.model",
        )
    return f"""import torch
{made.imports}
from {module} import {function}

{made.statements}
x0 = data.sample({kind.budget_size(model.schedule.T)}, torch.Generator().manual_seed({seed + 1_000_003}))
found = {function}(model, data.exact_reverse(diffusion), diffusion, x0, torch.Generator().manual_seed({seed}))
print(found.bound_bits, found.best_bits, found.parts_bits, found.errors_bits)
"""
