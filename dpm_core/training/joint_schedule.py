"""Learning the noise schedule together with the network, by the gradient of K in both (section 2.4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.config import TrainConfig
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import ReverseModel
from dpm_core.schedules import Schedule
from dpm_core.training.learned_schedule import LearnedSchedule, from_log_snr
from dpm_core.training.losses import bound_loss
from dpm_core.training.trainer import Batch, Draw, Trainer, TrainStep

SCHEDULE_RATE = 0.05  # Adam's learning rate for the schedule; its decay is that of the network's


class MonotoneSchedule(nn.Module):
    """Log-SNRs that fall along a monotone network of t/T (Kingma et al. 2021, appendix H): its size does not depend on T.

    log SNR(t) = first − range · n((t−1)/(T−1)) with n rising from 0 to 1: a straight line and ``units`` sigmoids with positive weights.
    It starts as a straight line between the ends of ``start``; the first value is fixed, the range is learned.
    """

    first: Tensor
    s: Tensor

    def __init__(self, start: Schedule, units: int = 64, seed: int = 0):
        super().__init__()
        log_snr = start.log_snr(torch.tensor([1, start.T])).clamp(min=-12.0)
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("first", log_snr[:1])
        self.register_buffer("s", torch.linspace(0, 1, start.T, dtype=torch.float64)[:, None])
        self.range = nn.Parameter(_inverse_softplus(log_snr[:1] - log_snr[1:]))
        steepness = 4 + 16 * torch.rand(units, generator=generator, dtype=torch.float64)
        self.steepness = nn.Parameter(_inverse_softplus(steepness))
        self.centres = nn.Parameter(torch.rand(units, generator=generator, dtype=torch.float64))
        self.weights = nn.Parameter(torch.full((units,), -6.0, dtype=torch.float64))  # after softplus nearly 0

    def schedule(self) -> Schedule:
        """Return the schedule, differentiable with respect to the parameters."""
        steepness, weights = functional.softplus(self.steepness), functional.softplus(self.weights)
        risen = self.s[:, 0] + torch.sigmoid(steepness * (self.s - self.centres)) @ weights
        share = (risen - risen[0]) / (risen[-1] - risen[0])
        return from_log_snr(self.first - functional.softplus(self.range) * share)


class JointTrainer(Trainer):
    """Trains a reverse kernel on the bound and, with the same gradient, the schedule of its forward process.

    ``schedule``: a :class:`LearnedSchedule`, one number for each step, or a :class:`MonotoneSchedule`. The model's and the average's
    diffusion are those of the schedule so far. Raises ValueError for another loss than "bound", whose minimum depends on the schedule.
    """

    model: ReverseModel

    def __init__(
        self,
        model: ReverseModel,
        schedule: LearnedSchedule | MonotoneSchedule,
        data: Tensor | Draw,
        config: TrainConfig,
        rate: float = SCHEDULE_RATE,
    ):
        if config.loss != "bound":
            raise ValueError(f"A schedule is learned by the bound K, so the loss must be 'bound', not {config.loss!r}.")
        super().__init__(model, data, config)
        self.schedule, self._rate = schedule, rate
        self._of_schedule = torch.optim.Adam(schedule.parameters(), lr=rate)
        self._show_schedule()

    def step(self) -> TrainStep:
        """Take one step of both optimisers. Raises TrainingError as :meth:`Trainer.step`."""
        for group in self._of_schedule.param_groups:
            group["lr"] = self._rate * self._pace()
        result = super().step()
        nn.utils.clip_grad_norm_(self.schedule.parameters(), self.config.clip)
        self._of_schedule.step()
        self._show_schedule()
        return result

    def _backward(self, batch: Batch) -> Tensor:
        self._optimiser.zero_grad()
        self._of_schedule.zero_grad()
        self.model.diffusion = GaussianDiffusion(self.schedule.schedule())
        losses = joint_loss(self.model, *batch.inputs[:3])
        losses.mean().backward()
        return losses.detach()

    def _show_schedule(self) -> None:
        """Give model and average the schedule as it is now, as numbers."""
        with torch.no_grad():
            now = GaussianDiffusion(Schedule(self.schedule.schedule().betas.detach()))
        self.model.diffusion = self.average.diffusion = now


def joint_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Return −K in nats per dimension up to a constant for each datum ``[n]``, with the terms that only the schedule changes.

    To the KL term at its time, times T−1, it adds ½ log((1−ᾱ₁)/(1−ᾱ_T)), the entropies H_q(X⁽¹⁾|X⁽⁰⁾) − H_q(X⁽ᵀ⁾|X⁽⁰⁾).
    """
    schedule = model.diffusion.schedule
    ends = 0.5 * (schedule.noise(1).log() - schedule.noise(schedule.T).log())
    return bound_loss(model, x0, t, noise) + ends.to(x0)


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
