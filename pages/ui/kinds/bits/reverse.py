"""The Reverse page with bits: learned beside exact samples, or samples beside the posterior of x⁽⁰⁾."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from dpm_core.figures.palette import EXACT, MODEL
from pages.ui import session
from pages.ui.components.export_row import export_row
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.controls.sampler import steps_select
from pages.ui.kinds.bits import cached, forward, recordings
from pages.ui.kinds.bits.forward import BitSettings
from pages.ui.kinds.bits.source import dataset
from pages.ui.kinds.records import Model, Snippet

STEPS = (10, 20, 50, 100, 250, 500, 1000)
DEFAULT_STEPS = 50
MAX_STEPS = 1 << 23  # steps times patterns, for the exact kernel


@dataclass(frozen=True)
class ReverseSettings:
    """Number of sampler steps, and what is shown."""

    steps: int
    shown: BitSettings


def controls(model: Model) -> ReverseSettings:
    """The settings, from controls."""
    T = model.schedule.T
    options = sorted({s for s in STEPS if s < T} | {T})
    if cached.exact_is_fast(model.source):
        patterns = len(dataset(model.source).patterns)
        options = [s for s in options if s * patterns <= MAX_STEPS] or options[:1]
    steps = steps_select("Sampler steps", options, min(DEFAULT_STEPS, options[-1]), f"bit_steps_{T}_{len(options)}")
    return ReverseSettings(steps, forward.controls(model.source))


def show(model: Model, settings: ReverseSettings) -> None:
    """The player and what can be downloaded. Raises DataError, ScheduleError."""
    ref, how = model.ref, settings.shown
    with working("Sampling …"):
        shown = recordings.reverse(ref, model.source, model.schedule, settings.steps, how.n, how.seed, how.align)
    player(shown.payload, key="reverse")
    if ref:
        statements = f"loaded = load({ref.name!r})\nmodel, shape = loaded.model, loaded.shape"
        made = Snippet("from dpm_core.checkpoints import load", statements)
    else:
        own = forward.snippet(model.source, model.schedule)
        made = Snippet(own.imports, own.statements + "\nmodel, shape = data.exact_reverse(diffusion), data.shape")
    python = f"""import numpy as np
import torch
{made.imports}
from dpm_core.samplers import ancestral

{made.statements}
x_T = model.diffusion.start(({how.n}, *shape), torch.Generator().manual_seed({how.seed}))
noise = torch.Generator().manual_seed({how.seed + 1})
*_, (t, x) = ancestral(model, model.diffusion, x_T, steps={settings.steps}, generator=noise)
print(x.int())
"""
    gif = partial(forward.animation, shown.x, MODEL if ref else EXACT, session.is_dark())
    export_row("dpm-reverse", python, {"t": shown.times, "x": shown.x}, shown.numbers, gif)
