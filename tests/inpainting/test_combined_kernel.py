"""A kernel in other units and under another schedule, and two kernels at once."""

from __future__ import annotations

import pytest
import torch

from dpm_core.inpainting.combined_kernel import PatchesAndNetwork, RescaledKernel
from dpm_core.inpainting.patches import LocalPatchReverse
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule

HERE = GaussianDiffusion(make_schedule("log_snr", 1000, start=8.0, end=-6.0))
THERE = GaussianDiffusion(make_schedule("cosine", 4000))


@pytest.mark.parametrize("scale, shift", [(1.0, 0.0), (2.5, -0.7), (0.3, 1.2)])
@pytest.mark.parametrize("t", [1, 300, 700, 1000])
def test_a_rescaled_kernel_is_that_of_the_rescaled_data(scale, shift, t):
    """The exact kernel of scale · y + shift under another schedule, read in y's units, is the exact kernel of y: to 1 %, the
    nearest of 4,000 times, of the data's spread."""
    y = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direct, other = EmpiricalReverse(y, HERE, 0.2), EmpiricalReverse(scale * y + shift, THERE, 0.2 * scale)
    xt = HERE.q_sample(y[:20], t, torch.Generator().manual_seed(1))
    for a, b in zip(direct.x0_posterior(xt, t), RescaledKernel(other, HERE, scale, shift).x0_posterior(xt, t)):
        assert float((a - b).abs().max()) < 0.01


def test_a_mixture_has_the_mean_and_variance_of_drawing_from_either():
    """Against a million draws of "with probability share from the network", to 0.01; known pixels stay; the ends are the parts."""

    class Fixed:
        diffusion = HERE

        def x0_posterior(self, xt, t):
            return torch.full_like(xt, 0.8), torch.full_like(xt, 0.09)

    image = torch.randn(1, 1, 12, 12, generator=torch.Generator().manual_seed(2))
    missing = torch.zeros(12, 12, dtype=torch.bool)
    missing[8:10, 8:10] = True
    patches = LocalPatchReverse(image, HERE, missing, 3)
    xt = HERE.q_sample(image, 500, torch.Generator().manual_seed(3))
    mean, variance = patches.x0_posterior(xt, 500)
    mixed, spread = PatchesAndNetwork(patches, Fixed(), 0.3).x0_posterior(xt, 500)
    assert torch.equal(mixed[..., ~missing], image[..., ~missing]) and not bool(spread[..., ~missing].any())
    generator = torch.Generator().manual_seed(4)
    which = torch.rand(1_000_000, generator=generator) < 0.3
    a, v = float(mean[0, 0, 8, 9]), float(variance[0, 0, 8, 9])
    drawn = torch.where(which, 0.8, a) + torch.where(which, 0.3, v**0.5) * torch.randn(1_000_000, generator=generator)
    assert abs(float(mixed[0, 0, 8, 9]) - float(drawn.mean())) < 0.01 and abs(float(spread[0, 0, 8, 9]) - float(drawn.var())) < 0.01
    for share, wanted in ((0.0, mean[..., missing]), (1.0, torch.full((1, 1, 4), 0.8))):
        assert torch.allclose(PatchesAndNetwork(patches, Fixed(), share).x0_posterior(xt, 500)[0][..., missing], wanted)


@pytest.mark.parametrize("make", [lambda k: RescaledKernel(k, HERE, 0.0, 1.0), lambda k: PatchesAndNetwork(k, k, 1.5)])
def test_numbers_that_make_no_sense_are_refused(make):
    with pytest.raises(ValueError, match="must"):
        make(LocalPatchReverse(torch.zeros(1, 1, 8, 8), HERE, None, 3))
