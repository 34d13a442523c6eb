"""Nearest training data by brute force, and the spread of samples."""

from __future__ import annotations

import pytest
import torch

from dpm_core.measure import diversity


def test_nearest_is_found_across_chunks(monkeypatch):
    monkeypatch.setattr(diversity, "CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    x, pool = (torch.randn(n, 1, 3, 2, generator=generator) for n in (5, 50))
    which, distance = diversity.nearest(x, pool)
    every = (x[:, None] - pool[None]).flatten(2).double().norm(dim=2)
    assert torch.equal(which, every.argmin(1))
    torch.testing.assert_close(distance, every.min(1).values)


def test_spread_is_the_distance_of_pairs():
    x = torch.randn(40, 2, 3, generator=torch.Generator().manual_seed(0))
    pairs = (x[:, None] - x[None]).flatten(2).double().square().mean(2)
    assert diversity.spread(x) == pytest.approx(float(pairs.sum() / (40 * 39)) ** 0.5)
    assert diversity.spread(x[:1]) == 0.0
    assert diversity.spread(torch.randn(20_000, 5, generator=torch.Generator().manual_seed(1))) == pytest.approx(2**0.5, rel=0.01)
