"""Shared by all tests: one thread, seeded noise, the one reverse kernel that is known by hand, and how tests share two processors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch.distributions import Normal

from dpm_core.process import GaussianDiffusion

torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the servers and processes that tests start
os.environ.setdefault("DPM_CLUSTER", "threads")  # jobs of tests train where they can be looked at; tests of processes say so
TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests for two workers (``make test``): files that stay together first, then all others one by one.

    A file with an expensive module-scoped fixture (a server, a trained model) or a common cache (pages, and the server of the
    browser tests) runs in one worker; the tests that need neither come last and leave no worker idle at the end.

    A test in the browser that fails runs once more: what it waits for can take longer than its patience on a busy machine.
    """
    for item in items:
        if item.path.parent == TESTS / "browser":
            item.add_marker(pytest.mark.flaky(reruns=1))
        if item.path.parent in (TESTS / "browser", TESTS / "pages") or _has_module_fixture(item):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(TESTS).as_posix()))
    items.sort(key=lambda item: (_turn(item.path.relative_to(TESTS).parts[0]), item.get_closest_marker("xdist_group") is None))


def _turn(name: str) -> int:
    """The place in the order of a folder or file of tests: what takes longest for one test goes first."""
    if name in ("browser", "pages"):
        return ("browser", "pages").index(name)
    return 2 if name.endswith(".py") else 3


def _has_module_fixture(item: pytest.Item) -> bool:
    definitions = item._fixtureinfo.name2fixturedefs.values()
    return any(definition.scope == "module" for found in definitions for definition in found)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(20150315)


class GaussianReverse:
    """The true reverse process of data N(0, scale²), by conditioning a joint Gaussian; no code of the package's kernels."""

    def __init__(self, diffusion: GaussianDiffusion, scale: float = 1.0):
        self.diffusion, self.scale = diffusion, scale

    def variance(self, t):
        """Var X⁽ᵗ⁾ = ᾱ_t scale² + 1 − ᾱ_t."""
        schedule = self.diffusion.schedule
        return schedule.alpha_bar(t) * self.scale**2 + schedule.noise(t)

    def x0_posterior(self, xt, t):
        alpha_bar = self.diffusion.schedule.alpha_bar(t)
        gain = alpha_bar.sqrt() * self.scale**2 / self.variance(t)
        variance = self.scale**2 * (1 - gain * alpha_bar.sqrt())
        return gain * xt, variance.to(xt) * torch.ones_like(xt)

    def reverse(self, xt, t, s=None):
        s = t - 1 if s is None else s
        alpha = torch.prod(self.diffusion.schedule.alpha(torch.arange(s + 1, t + 1)))
        gain = alpha.sqrt() * self.variance(s) / self.variance(t)
        variance = self.variance(s) * (1 - gain * alpha.sqrt())
        return Normal(gain * xt, (variance.sqrt() * torch.ones_like(xt)).to(xt), validate_args=False)


@pytest.fixture
def gaussian_reverse() -> type[GaussianReverse]:
    return GaussianReverse
