"""A run as a process of its own, which goes on without the program that started it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from multiprocessing import AuthenticationError
from pathlib import Path

import pytest

from dpm_core import jobs
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.process.address import ADDRESS_FILE, Address, SocketLine
from dpm_core.jobs.process.engine import ProcessEngine, nursery
from tests.jobs.engines import RUN, points, until


def test_the_worker_of_a_run_that_cannot_start_ends(tmp_path):
    nursery.warm_up()
    before = _workers()  # those of other tests' runs, which may still be held
    with pytest.raises(JobError, match="finite"):
        jobs.start(JobConfig("run", RUN, threads=1), points(), points(1), tmp_path, engine=ProcessEngine())
    assert not list(tmp_path.iterdir())
    until(lambda: _workers() <= before)


def test_a_run_goes_on_without_the_program_that_started_it(tmp_path):
    """It is found by its id, with everything seen so far, and obeys; a wrong key is refused."""
    code = f"""
import torch
from pathlib import Path
from dpm_core import jobs
from tests.jobs.engines import RUN, points, until
job = jobs.start(jobs.JobConfig("run", RUN, threads=1), points(), points(20, 1), Path({str(tmp_path)!r}))
until(lambda: job.step > 20 and job.snapshots)
print(job.id, job.pid)
"""
    environment = os.environ | {"DPM_CLUSTER": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    id, pid = done.stdout.split()
    (job,) = ProcessEngine().running(tmp_path, set())
    assert (job.id, job.pid) == (id, int(pid)) and job.status == "running" and job.snapshots and job.metrics()
    assert ProcessEngine().running(tmp_path, {id}) == []
    step = job.step
    until(lambda: job.step > step + 20)
    place = Address.read(tmp_path / "run")
    assert (tmp_path / "run" / ADDRESS_FILE).stat().st_mode & 0o077 == 0
    with pytest.raises(AuthenticationError):
        SocketLine(replace(place, key="guess"))
    job.stop()
    assert job.join(60) and job.status == "stopped"
    job.close()
    until(lambda: not _alive(int(pid)))
    assert not (tmp_path / "run" / ADDRESS_FILE).exists()


def test_a_worker_that_is_killed(tmp_path):
    """The page has one sentence at once; the run goes on from its last state, exactly."""
    job = jobs.start(JobConfig("run", RUN, threads=1), points(), points(20, 1), tmp_path, engine=ProcessEngine())
    until(lambda: job.step > 50)
    job.pause()
    until(lambda: jobs.runs(tmp_path)[0].step == job.step)
    job.resume()
    until(lambda: jobs.runs(tmp_path)[0].status == "running")
    os.kill(job.pid, signal.SIGKILL)
    until(lambda: job.done)
    assert job.status == "failed" and job.message.count(".") == 2 and "ended unexpectedly" in job.message
    until(lambda: jobs.runs(tmp_path)[0].status == "interrupted")  # its lock falls a moment after its connection
    with pytest.raises(JobError):
        job.weights()
    job.pause()  # without effect
    again = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=200), engine=ProcessEngine())
    assert again.join(60) and again.step == 200
    again.close()


def test_a_worker_whose_folder_is_removed_ends(tmp_path):
    job = jobs.start(JobConfig("run", RUN, threads=1), points(), points(20, 1), tmp_path, engine=ProcessEngine())
    until(lambda: job.step > 5)
    shutil.rmtree(job.folder)
    assert job.join(60)
    job.close()
    until(lambda: not _alive(job.pid))


def test_three_processes_want_two_places(tmp_path):
    """The third waits, whoever started it, and trains when one of the others is killed; the fourth is behind it."""
    made = []
    for name in "abcd":
        config = JobConfig(name, RUN, threads=1)
        made.append(jobs.start(config, points(), points(20, 1), tmp_path, engine=ProcessEngine()))
    first, second, third, fourth = made
    until(lambda: first.step > 0 and second.step > 0)
    assert (third.status, third.queue_position, third.step) == ("queued", 1, 0) and fourth.queue_position == 2
    os.kill(first.pid, signal.SIGKILL)
    until(lambda: third.status == "running" and third.step > 0)
    until(lambda: fourth.queue_position == 1)
    fourth.pause()
    assert fourth.status == "paused" and fourth.queue_position is None
    second.pause()
    fourth.resume()
    until(lambda: fourth.step > 0)
    second.resume()
    assert (second.status, second.queue_position) == ("queued", 1)
    for job in made:
        job.stop()
        assert job.join(60)
        job.close()
    assert list((tmp_path / ".queue").glob("cpu-*")) == []


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _workers():
    """The process ids of all workers that this program's nursery has made and that live."""
    pid = nursery._process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return set(children.read_text().split()) if children.exists() else set()
