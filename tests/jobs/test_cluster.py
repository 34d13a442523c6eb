"""A run in a Ray cluster: it waits for a place, is found by every program, and survives the loss of its node."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.engines import usual_engine
from dpm_core.jobs.process.engine import ProcessEngine
from dpm_core.jobs.thread.engine import ThreadEngine
from dpm_core.measure.estimators import jarzynski
from tests.jobs.engines import RUN, flat, points, until

pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("cluster")


def node_of(job):
    """The node on which a job trains."""
    import ray

    return ray.get(job._actor.__ray_call__.remote(lambda actor: ray.get_runtime_context().get_node_id()))


def test_three_runs_want_two_places(cluster, start):
    """The third waits, can be stopped and nothing else; a fourth trains as soon as a place is free."""
    first, second, third, fourth = (start(name, engine=cluster.engine) for name in "abcd")
    until(lambda: (first.status, second.status) == ("running", "running"))
    assert (third.status, third.queue_position, third.step) == ("queued", 1, 0)
    for action in (third.pause, third.step_once, lambda: third.set_learning_rate(0.1)):
        with pytest.raises(JobError, match="waits for a place"):
            action()
    with pytest.raises(JobError, match="still training"):
        start("c", engine=cluster.engine)
    third.stop()
    assert third.join(60) and third.status == "stopped"
    first.stop()
    assert first.join(60)
    until(lambda: fourth.status == "running" and fourth.step > 0)
    assert first.save("kept", first.folder).exists() and len(flat(first.weights())) > 0  # its actor is gone


def test_the_node_of_a_run_is_lost(cluster, start):
    """The run says so, goes on from its last state on another node, and its rows and snapshots belong together."""
    job = start(engine=cluster.engine)
    until(lambda: job.step > 50)
    until(lambda: jobs.runs(job.folder.parent)[0].step > 0)
    cluster.lose(node_of(job))
    until(lambda: "was lost" in job.message)
    assert job.status == "queued"
    until(lambda: job.status == "running" and not job.message, 60)
    step = job.step
    until(lambda: job.step > step + 20)
    steps = [row["step"] for row in job.metrics()]
    assert steps == sorted(steps) and steps[0] <= 1 and job.snapshots[0].step <= 1
    job.stop()
    assert job.join(60) and job.status == "stopped"


def test_a_run_outlives_the_program_and_then_a_node(cluster, tmp_path):
    """Another program finds it by its id; Ray has everything that it needs to start the run again."""
    code = f"""
from pathlib import Path
from dpm_core import jobs
from dpm_core.jobs.cluster.engine import RayEngine
from tests.jobs.engines import RUN, points, until
config = jobs.JobConfig("outlives", RUN, threads=1)
job = jobs.start(config, points(), points(20, 1), Path({str(tmp_path)!r}), engine=RayEngine({cluster.cluster.address!r}))
until(lambda: job.step > 20)
print(job.id)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (id,) = done.stdout.split()
    assert cluster.engine.running(tmp_path / "elsewhere", set()) == []
    (job,) = cluster.engine.running(tmp_path, set())
    assert job.id == id and job.config == JobConfig("outlives", RUN, threads=1) and job.pid is None and job.step > 20
    assert cluster.engine.running(tmp_path, {id}) == []
    until(lambda: jobs.runs(tmp_path)[0].step > 0)
    cluster.lose(node_of(job))
    until(lambda: "was lost" in job.message)
    until(lambda: job.status == "running", 60)
    job.stop()
    assert job.join(60)


def test_a_node_is_lost_and_the_runs_lie_in_object_storage(cluster, tmp_path, monkeypatch):
    """No two machines share a folder: the next node fetches the run and goes on, and another program sees how far it is."""
    monkeypatch.setenv("DPM_RUNS", f"file://{tmp_path}/bucket")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "page"))
    job = jobs.start(JobConfig("stored", RUN, threads=1), points(), points(20, 1), engine=cluster.engine)
    until(lambda: job.step > 50)
    job.pause()
    until(lambda: jobs.runs() and jobs.runs()[0].step == job.step)
    saved = job.step
    assert not (jobs.runs_folder() / "stored" / "state.safetensors").exists()
    job.resume()
    until(lambda: jobs.runs()[0].status == "running")  # otherwise the next node would find a paused run
    cluster.lose(node_of(job))
    until(lambda: "was lost" in job.message)
    until(lambda: job.status == "running", 60)
    assert job.step >= saved
    job.stop()
    assert job.join(60)
    until(lambda: jobs.runs()[0].status == "stopped")
    assert jobs.runs()[0].step == job.step
    again = jobs.resume_run(job.folder, points(), points(20, 1), stop=Stop(steps=job.step + 5), engine=cluster.engine)
    assert again.join(60) and again.status == "finished" and again.step == job.step + 5


def _count(n, fail_at=-1):
    for i in range(n):
        if i == fail_at:
            raise ValueError(f"no {i}")
        yield i, os.getpid()


def test_heavy_work_of_pages(cluster, start):
    """In another process, as here, also where no place is free; its errors arrive as they were; what is closed ends."""
    runs = [start(name, engine=cluster.engine) for name in "ab"]
    until(lambda: all(job.status == "running" for job in runs))
    loaded = checkpoints.load("swiss_roll_rbf")
    at = torch.tensor([[0.3, -0.5]])
    arguments = lambda: (loaded.model, loaded.diffusion, at, 50, torch.Generator().manual_seed(0))  # noqa: E731
    there, here = cluster.engine.call(jarzynski, *arguments()), jarzynski(*arguments())
    assert torch.equal(there.log_prob, here.log_prob) and all(job.status == "running" for job in runs)
    assert cluster.engine.call(os.getpid) != os.getpid()
    counted = list(cluster.engine.stream(_count, 4))
    assert [i for i, _ in counted] == [0, 1, 2, 3] and os.getpid() not in {pid for _, pid in counted}
    failing = cluster.engine.stream(_count, 4, 2)
    assert [next(failing)[0], next(failing)[0]] == [0, 1]
    with pytest.raises(ValueError, match="no 2"):
        next(failing)
    endless = cluster.engine.stream(_count, 10**9)
    next(endless)
    endless.close()
    with pytest.raises(ZeroDivisionError):
        cluster.engine.call(divmod, 1, 0)
    assert ThreadEngine().call(os.getpid) == os.getpid() and [i for i, _ in ProcessEngine().stream(_count, 2)] == [0, 1]


def test_what_the_cluster_does_not_have(cluster, start, monkeypatch):
    run = JobConfig("run", RUN, Stop(), device="cuda", threads=1)
    with pytest.raises(JobError, match="has 0 GPUs and this run needs 1"):
        jobs.start(run, points(), points(20, 1), engine=cluster.engine)
    assert cluster.engine.devices() == ("cpu",)


def test_the_setting(monkeypatch):
    """A wrong one is refused, and a cluster that does not answer is one sentence."""
    monkeypatch.setenv("DPM_CLUSTER", "somewhere")
    with pytest.raises(JobError, match="leave it empty"):
        usual_engine()
    code = """
import os, torch
from dpm_core import jobs
from tests.jobs.engines import RUN, points
assert jobs.jobs() == []
try:
    jobs.start(jobs.JobConfig("run", RUN), points(), points(20, 1))
except jobs.JobError as error:
    print(error)
"""
    environment = os.environ | {"DPM_CLUSTER": "ray://127.0.0.1:1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "ray://127.0.0.1:1 cannot be reached" in done.stdout and done.stdout.count("\n") == 1, done


SECRET = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
ELSEWHERE = """
import sys
import time
from tests.jobs.engines import RUN, points, until
from dpm_core import jobs
data = points(), points(20, 1)
job = None
while job is None:  # a head that has just been started may refuse the first connection
    try:
        job = jobs.start(jobs.JobConfig("run", RUN, threads=1), *data)
    except jobs.JobError:
        time.sleep(0.5)
until(lambda: jobs.runs() and jobs.runs()[0].step > 0)
print("started", flush=True)
until(lambda: job.done)
print(job.status, job.message, flush=True)
try:
    jobs.start(jobs.JobConfig("other", RUN, threads=1), *data)
except jobs.JobError as error:
    print(error, flush=True)
sys.stdin.readline()
again = None
while again is None:
    try:
        again = jobs.resume_run(job.folder, *data)
    except jobs.JobError:
        time.sleep(0.5)
job, step = again, again.step
until(lambda: job.step > step + 20)
job.stop()
print(job.join(60), job.status, flush=True)
"""


def _head(port, environment):
    """A head with one place, started as docs/cluster.md says."""
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--num-cpus=1", "--block", "--include-dashboard=false"]
    ports = [f"--port={port}", f"--ray-client-server-port={port + 1}"]
    return subprocess.Popen(
        [*command, *ports], env=environment, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.mark.flaky(reruns=1)  # its ports may be in use
def test_the_head_of_a_cluster_elsewhere_is_restarted(cluster, tmp_path):
    """A program with ray:// survives it: one sentence, a new run is refused, and then the run goes on from its state."""
    places = {"PYTHONPATH": os.getcwd(), "DPM_RUNS": str(tmp_path), "DPM_CLUSTER": "ray://127.0.0.1:21380"}
    environment = os.environ | SECRET | places | {"RAY_CLIENT_RECONNECT_GRACE_PERIOD": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    head = _head(21379, environment)
    try:
        until(lambda: _listens(21380), 60)
        command = [sys.executable, "-u", "-c", ELSEWHERE]
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            said = lambda: next(line for line in program.stdout if not line.startswith("Log channel"))  # noqa: E731 - Ray's own words
            assert said() == "started\n"
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()
            assert said().startswith("failed The process that trained this run has ended unexpectedly. Resume the run")
            assert "cannot be reached" in said()
            head = _head(21379, environment)
            until(lambda: _listens(21380), 60)
            program.stdin.write("\n")
            program.stdin.flush()
            assert said() == "True stopped\n"
            program.kill()
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
