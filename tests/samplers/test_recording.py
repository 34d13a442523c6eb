"""Recordings of a stream of states."""

from __future__ import annotations

import numpy as np
import torch

from dpm_core.figures.rasters import frame_numbers
from dpm_core.process import GaussianDiffusion, Step
from dpm_core.samplers import ancestral, record
from dpm_core.schedules import make_schedule


def test_frame_numbers_are_even_and_hold_both_ends():
    """Each is the nearest whole number to its even place; all of them when there are few."""
    for total in (2, 3, 41, 1001):
        for frames in (2, 5, 7, 101):
            numbers = frame_numbers(total, frames)
            assert len(numbers) == min(total, frames) and numbers[0] == 0 and numbers[-1] == total - 1
            assert (np.abs(numbers - np.linspace(0, total - 1, len(numbers))) <= 0.5).all()
            assert (np.diff(numbers) > 0).all()
    assert frame_numbers(1, 101).tolist() == [0]


def test_record_keeps_exactly_the_wanted_frames_and_particles():
    """States whose entries say when and who they are: t·100 + particle."""
    steps = (Step(t, (100.0 * t + torch.arange(6.0))[:, None].expand(6, 2).double()) for t in range(20, -1, -1))
    kept = record(steps, 21, frames=6, particles=4)
    assert kept.times.tolist() == [20, 16, 12, 8, 4, 0]
    wanted = 100 * kept.times[:, None, None] + np.arange(4)[None, :, None] + np.zeros((1, 1, 2))
    np.testing.assert_array_equal(kept.x, wanted)


def test_record_holds_a_samplers_own_states():
    """All frames of all particles: equal to the states as they streamed by, from t = T to 0."""
    from dpm_core.reverse import EmpiricalReverse

    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    kernel = EmpiricalReverse(torch.tensor([[-1.0, 0.5], [1.0, 0.0]]), diffusion, 0.1)
    path = list(ancestral(kernel, diffusion, (5, 2), generator=torch.Generator().manual_seed(0)))
    kept = record(ancestral(kernel, diffusion, (5, 2), generator=torch.Generator().manual_seed(0)), 7)
    assert kept.times.tolist() == [6, 5, 4, 3, 2, 1, 0]
    for frame, step in zip(kept.x, path):
        np.testing.assert_array_equal(frame, step.x.numpy())


def test_only_the_frames_kept_are_held():
    """Every state but the kept ones is freed as the stream goes on: at most three alive at once with two frames kept."""
    import weakref

    alive = weakref.WeakSet()
    most = 0

    def stream():
        nonlocal most
        for t in range(50, -1, -1):
            x = torch.zeros(1000, 2, dtype=torch.float64)  # float64: a kept frame is a float32 copy
            alive.add(x)
            most = max(most, len(alive))
            yield Step(t, x)

    assert record(stream(), 51, frames=2).times.tolist() == [50, 0]
    assert most <= 3
