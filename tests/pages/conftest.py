"""What tests of pages share."""

from __future__ import annotations

import pytest

from dpm_core import jobs
from pages.ui.kinds.bits import likelihood as bit_likelihood
from pages.ui.kinds.points import measures


@pytest.fixture(autouse=True)
def fewer_trajectories(monkeypatch):
    """Jarzynski's estimate takes a fifth of the usual time; its error, which is stated, is that much larger."""
    monkeypatch.setattr(measures, "TRAJECTORIES", measures.TRAJECTORIES // 5)
    monkeypatch.setattr(bit_likelihood, "STATES", bit_likelihood.STATES // 5)


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """Every test has its own runs and models, and leaves nothing running."""
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path / "models"))
    monkeypatch.setenv("DPM_RUNS", str(tmp_path / "runs"))
    yield tmp_path
    for job in jobs.jobs():
        job.stop()
        job.join(20)
