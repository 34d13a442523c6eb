"""Runs in object storage: what one machine trains, another one lists and resumes; nothing is lost while the storage is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import fsspec
import pytest
import torch

from dpm_core import jobs
from dpm_core.config import SettingError
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.storage import addresses
from dpm_core.jobs.storage import bucket as storage
from dpm_core.jobs.storage.addresses import address_of, bucket_at, folder_at
from dpm_core.jobs.storage.bucket import Bucket
from dpm_core.jobs.storage.run_folder import RunFolder
from tests.jobs.engines import RUN, flat, points, until


@pytest.fixture
def url(tmp_path, monkeypatch):
    """An address in the memory of this process, used by DPM_RUNS; the copy lies in the folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    address = f"memory://{tmp_path.name}/runs"
    monkeypatch.setenv("DPM_RUNS", address)
    monkeypatch.setattr(addresses, "_buckets", {})
    monkeypatch.setattr(storage, "TRY_AGAIN", 0.05)
    monkeypatch.setattr(storage, "LOOK_EVERY", 0.0)
    return address


@pytest.fixture
def elsewhere(url, tmp_path):
    """The same storage as another machine has it, with a copy of its own."""
    return Bucket(url, tmp_path / "elsewhere")


def trained(steps=5, name="run", **more):
    job = jobs.start(JobConfig(name, RUN, Stop(steps=steps), threads=1), points(), points(20, 1), **more)
    assert job.join(60) and job.status == "finished"
    return job


def test_a_run_is_there_for_another_machine(url, elsewhere):
    """Everything that is needed to go on; the list needs neither states nor snapshots; what is not a run's file is not taken."""
    job = trained()
    assert job.folder == bucket_at(url).copy / "run" and not (job.folder / storage.UNSENT).exists()
    assert address_of(job.folder) == f"{url}/run" and folder_at(f"{url}/run") == job.folder
    fsspec.url_to_fs(url)[0].pipe_file(f"{url}/run/evil.py", b"x")
    fsspec.url_to_fs(url)[0].pipe_file(f"{url}/.queue/x", b"x")
    elsewhere.fetch_list()
    there = RunFolder(elsewhere.copy / "run")
    assert {path.name for path in there.path.rglob("*") if path.is_file()} == {"job.json", "metrics.jsonl"}
    assert there.read_header()[1]["step"] == 5 and [path.name for path in elsewhere.copy.iterdir()] == ["run"]
    elsewhere.fetch("run")
    here = RunFolder(job.folder).read_state()
    assert all(torch.equal(value, here[name]) for name, value in there.read_state().items())
    assert len(there.read_snapshots(5)[0]) == len(job.snapshots) and not (there.path / "evil.py").exists()
    assert (there.path / "metrics.jsonl").read_bytes() == (job.folder / "metrics.jsonl").read_bytes()


def test_the_list_and_a_run_of_the_same_name(url, elsewhere):
    """A new run of a name takes the state of the old one out of the storage; one that is removed is gone everywhere."""
    trained(steps=1, name="other")
    trained(steps=9)
    job = jobs.start(JobConfig("run", RUN, Stop(steps=3), threads=1), points(), points(20, 1), paused=True)
    assert bucket_at(url).wait("run", 10)
    elsewhere.fetch_list()
    assert RunFolder(elsewhere.copy / "run").read_header()[1]["status"] == "paused"
    job.resume()
    assert job.join(60)
    assert [(info.name, info.step, info.status) for info in jobs.runs()] == [("run", 3, "finished"), ("other", 1, "finished")]
    elsewhere.fetch("run")
    assert RunFolder(elsewhere.copy / "run").state_step() == 3
    jobs.remove_run(job.folder)
    assert [info.name for info in jobs.runs()] == ["other"] and not job.folder.exists()
    elsewhere.fetch_list()
    assert not (elsewhere.copy / "run").exists()


def test_a_run_that_trains_elsewhere_is_not_called_interrupted(url, elsewhere, monkeypatch):
    trained()
    header = elsewhere.copy / "run" / "job.json"
    elsewhere.fetch("run")
    header.write_text(json.dumps(json.loads(header.read_text()) | {"status": "running", "step": 7}))
    elsewhere.send("run")
    (info,) = jobs.runs()
    assert (info.status, info.step) == ("running", 7)
    monkeypatch.setattr("dpm_core.jobs.storage.run_list.STALE", 0.0)
    assert jobs.runs()[0].status == "interrupted"


def test_the_storage_is_away_for_a_while(url, elsewhere, monkeypatch):
    """The run trains on and says why; what it could not send is sent when the storage is back."""
    job = jobs.start(JobConfig("run", RUN, Stop(), threads=1), points(), points(20, 1))
    until(lambda: job.step > 0 and bucket_at(url).wait("run", 0))

    def away(*_, **__):
        raise ConnectionError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(bucket_at(url)._storage, "pipe_file", away)
        job.pause()
        until(lambda: (job.folder / "state.safetensors").exists())
        job.resume()
        until(lambda: bucket_at(url)._failures)
        job.pause()
        until(lambda: "no route to host" in job.message)
        assert f"The storage {url} cannot be used" in job.message
        job.resume()
    job.stop()
    assert job.join(60) and not bucket_at(url)._failures
    elsewhere.fetch("run")
    assert RunFolder(elsewhere.copy / "run").state_step() == job.step


def test_what_a_killed_worker_could_not_send_is_sent_by_the_next(url, elsewhere):
    job = trained()
    bucket_at(url)._mark("run")
    RunFolder(job.folder).write_state(RunFolder(job.folder).read_state() | {"step": torch.tensor(99)})
    fresh = Bucket(url, bucket_at(url).copy)  # of another process of the same machine
    fresh.fetch("run")
    assert RunFolder(job.folder).state_step() == 99 and not (job.folder / storage.UNSENT).exists()
    elsewhere.fetch("run")
    assert RunFolder(elsewhere.copy / "run").state_step() == 99


def test_what_a_killed_worker_could_not_send_never_replaces_what_another_machine_did_since(url, elsewhere):
    """It stays here, aside; and the same for a mark that cannot be read."""
    job = trained()
    for later in (100, 200):
        bucket_at(url)._mark("run") if later == 100 else (job.folder / storage.UNSENT).write_text("{")
        RunFolder(job.folder).write_state(RunFolder(job.folder).read_state() | {"step": torch.tensor(50)})
        elsewhere.fetch("run")
        there = RunFolder(elsewhere.copy / "run")
        there.write_state(there.read_state() | {"step": torch.tensor(later)})
        there.write_header(there.read_header()[1] | {"step": later})
        elsewhere.send("run")
        fresh = Bucket(url, bucket_at(url).copy)
        fresh.fetch_list()
        fresh.fetch("run")
        assert RunFolder(job.folder).state_step() == later and not (job.folder / storage.UNSENT).exists()
        assert RunFolder(job.folder.with_name(".run.old")).state_step() == 50
        assert jobs.runs()[0].step == later


def test_a_storage_that_is_not_mounted_takes_nothing_from_here(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOOK_EVERY", 0.0)
    mounted = tmp_path / "share" / "runs"
    one = Bucket(f"file://{mounted}", tmp_path / "copy")
    (one.copy / "run").mkdir()
    (one.copy / "run" / "job.json").write_text("{}")
    one.send("run")
    mounted.rename(tmp_path / "away")
    one.fetch_list()
    assert (one.copy / "run" / "job.json").exists()


def test_the_copy_of_a_run_whose_state_lies_elsewhere(url, elsewhere):
    """A list leaves the states of others alone, and a run is not begun anew because its state is not here yet."""
    job = trained()
    elsewhere.fetch("run")
    Bucket(url, elsewhere.copy).fetch_list()
    assert RunFolder(elsewhere.copy / "run").state_step() == 5
    (job.folder / "state.safetensors").unlink()
    fsspec.url_to_fs(url)[0].rm_file(f"{url}/run/state.safetensors".replace("memory:/", ""))
    with pytest.raises(JobError, match="is not here yet"):
        jobs.resume_run(job.folder, points(), points(20, 1))


def test_a_slash_at_the_end_is_the_same_place(url, monkeypatch):
    monkeypatch.setenv("DPM_RUNS", f"{url}/")
    assert trained().folder == folder_at(f"{url}/run") and [info.name for info in jobs.runs()] == ["run"]


def test_an_address_that_cannot_be_used(url, monkeypatch):
    monkeypatch.setenv("DPM_RUNS", "nowhere://x/y")
    with pytest.raises(SettingError, match=r"^DPM_RUNS: The storage nowhere://x/y cannot be used \(.*\)\.$"):
        jobs.runs_folder()
    with pytest.raises(JobError, match="nowhere"):
        jobs.start(JobConfig("run", RUN, threads=1), points(), points(20, 1))


PROGRAM = """
import sys
from dpm_core import jobs
from tests.jobs.engines import RUN, points, until
(info,) = jobs.runs()
assert info.status == "stopped" and info.folder.is_relative_to(sys.argv[1]), info
job = jobs.resume_run(info.folder, points(), points(20, 1), stop=jobs.Stop(steps=info.step + 10))
assert job.pid and job.join(60) and job.status == "finished", job.message
print(info.step, job.step, float(sum(p.double().sum() for p in job.weights().parameters())))
"""


def test_another_machine_goes_on_with_a_run(tmp_path, monkeypatch):
    """With processes as with threads; step for step as if it had never moved."""
    monkeypatch.setenv("DPM_RUNS", f"file://{tmp_path}/bucket/runs")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "here"))
    job = jobs.start(JobConfig("run", RUN, Stop(), threads=1), points(), points(20, 1))
    until(lambda: job.step > 5)
    job.stop()
    assert job.join(60)
    whole = jobs.start(JobConfig("whole", RUN, Stop(steps=job.step + 10), threads=1), points(), points(20, 1), tmp_path / "local")
    assert whole.join(60)
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "there"), "DPM_CLUSTER": ""}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "there")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    before, after, total = done.stdout.split()
    assert (int(before), int(after)) == (job.step, job.step + 10)
    assert float(total) == float(flat(whole.weights()).double().sum())
