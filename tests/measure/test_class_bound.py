"""K given the class, and the information that classes and data share, against entropies."""

from __future__ import annotations

import math

import pytest
import torch

from dpm_core.data.toy2d import DATASETS
from dpm_core.measure.class_bound import class_bound
from dpm_core.process import GaussianDiffusion
from dpm_core.schedules import make_schedule

LONG = GaussianDiffusion(make_schedule("log_snr", 300))


@pytest.mark.parametrize(("name", "bits"), [("eight_gaussians", 3.0), ("moons", 1.0), ("circles", 1.0), ("pinwheel", math.log2(5))])
def test_the_information_of_separate_classes_is_their_entropy(name, bits):
    """I(x; y) = H(y) where the classes do not overlap; a little less where they nearly touch."""
    found = DATASETS[name].class_information_nats() / math.log(2)
    assert bits - 0.02 < found < bits + 1e-3


def test_the_information_is_the_mean_divergence():
    """I(x; y) = E log q(x|y)/q(x), by 200,000 draws of the S-curve, whose halves touch."""
    data = DATASETS["s_curve"]
    x, y = data.labelled(200_000, torch.Generator().manual_seed(0))
    given = torch.stack([data.of_class(label).log_prob(x.double()) for label in (0, 1)], 1).gather(1, y[:, None])[:, 0]
    ratio = given - data.log_prob(x.double())
    assert abs(float(ratio.mean()) - data.class_information_nats()) < 5 * float(ratio.std()) / 200_000**0.5 + 1e-4


@pytest.mark.parametrize("every_time", [True, False])
def test_k_given_the_class_by_exact_kernels(every_time):
    """With T = 300 exact steps, K given y is −h(x|y) and the difference I(x; y), up to the finite number of steps."""
    data = DATASETS["moons"]
    x, y = data.labelled(1000 if every_time else 40_000, torch.Generator().manual_seed(1))
    kernels = [data.of_class(label).exact_reverse(LONG) for label in (0, 1)]
    found = class_bound(kernels.__getitem__, data.exact_reverse(LONG), LONG, x, y, 2, seed=3, every_time=every_time)
    limit = -sum(data.of_class(label).entropy() for label in (0, 1)) / 2 / math.log(2)
    assert -0.3 < found.given_y_bits - limit < 4 * found.given_y_standard_error_bits
    assert abs(found.information_bits - data.class_information_nats() / math.log(2)) < 4 * found.information_standard_error_bits + 0.03
    assert found.given_y_bits - found.unconditional_bits == pytest.approx(found.information_bits, abs=1e-9)
    assert found.information_standard_error_bits < found.given_y_standard_error_bits
    assert sum(found.per_class_bits) / 2 == pytest.approx(found.given_y_bits, abs=0.05)


def test_classes_without_data():
    """They are left out; without any there is nothing to measure."""
    data = DATASETS["moons"].of_class(0)
    x = data.sample(50, torch.Generator().manual_seed(0))
    kernel, short = data.exact_reverse, GaussianDiffusion(make_schedule("log_snr", 5))
    found = class_bound(lambda label: kernel(short), kernel(short), short, x, torch.ones(50).long(), 3)
    assert found.information_bits == 0 and math.isnan(found.per_class_bits[0]) and not math.isnan(found.per_class_bits[1])
    with pytest.raises(ValueError, match="two data or more"):
        class_bound(lambda label: kernel(short), kernel(short), short, x[:2], torch.tensor([0, 1]), 2)
