"""The variational bound in the limit of many steps (Kingma et al. 2021): it depends on the schedule through its two ends alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dpm_core.measure.estimators import sum_per_datum
from dpm_core.process import GaussianDiffusion, draw
from dpm_core.reverse import AdaptableKernel
from dpm_core.schedules import Schedule, ScheduleError


def between_ends(fine: Schedule, start: float, end: float, steps: int) -> Schedule:
    """Return the part of a schedule whose log-SNR lies between ``start`` and ``end``, in nats, in ``steps`` steps of equal time.

    ``fine`` stands for the limit: between its many times the log-SNR is interpolated. The result has T = ``steps`` + 1, as its first step
    makes x⁽¹⁾ with log-SNR ``start``. Raises ScheduleError unless start > end and the schedule reaches both.
    """
    own = fine.log_snr(torch.arange(1, fine.T + 1)).numpy()
    if not start > end:
        raise ScheduleError(f"The log-SNR must fall; it was to go from {start:g} to {end:g}.")
    if own[0] < start or own[-1] > end:
        raise ScheduleError(
            f"This schedule goes from {own[0]:.3g} to {own[-1]:.3g} nats of log-SNR and does not reach {start:g} and {end:g}."
        )
    finite = np.isfinite(own)
    own, times = own[finite], np.arange(len(finite))[finite]
    first, last = np.interp([-start, -end], -own, times)
    log_bar = functional.logsigmoid(torch.from_numpy(np.interp(np.linspace(first, last, steps + 1), times, own)))
    return Schedule(-torch.expm1(torch.diff(log_bar, prepend=torch.zeros(1, dtype=torch.float64))))


def bound_of_steps(model: AdaptableKernel, diffusion: GaussianDiffusion, x0: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return the diffusion loss ½ Σ_t (SNR_{t−1} − SNR_t) E|x⁽⁰⁾ − x̂⁽⁰⁾(x⁽ᵗ⁾)|² for t = 2..T, in nats per datum, float64 ``[n]``.

    It is what the steps between t = T and t = 1 cost (Kingma et al. 2021, Eq. 13, with the variance β̃ of the posterior). With more steps
    it falls to ½ ∫ E|x⁽⁰⁾ − x̂⁽⁰⁾|² dSNR, whose limits are the ends and whose integrand knows nothing of the schedule. For N(0, 1) data
    that is ½ log[(1 + SNR_1)/(1 + SNR_T)] per dimension.
    """
    kernel, schedule = model.with_diffusion(diffusion), diffusion.schedule
    total = torch.zeros(len(x0), dtype=torch.float64)
    with torch.inference_mode():
        for t in range(2, diffusion.T + 1):
            mean, _ = kernel.x0_posterior(draw(diffusion.q_marginal(x0, t), generator), t)
            total += 0.5 * float(schedule.snr(t - 1) - schedule.snr(t)) * sum_per_datum((x0 - mean).square()).cpu()
    return total
