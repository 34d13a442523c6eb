"""What tests of pages share."""

from __future__ import annotations

import pytest

from dpm_core import jobs


@pytest.fixture
def own_folders(tmp_path, monkeypatch):
    """Every test has its own runs and models, and leaves nothing running."""
    monkeypatch.setenv("DPM_CHECKPOINTS", str(tmp_path / "models"))
    monkeypatch.setenv("DPM_RUNS", str(tmp_path / "runs"))
    yield tmp_path
    for job in jobs.jobs():
        job.stop()
        job.join(20)
