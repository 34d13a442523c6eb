"""Runs on disk, snapshots and the choice of threads, each by itself."""

from __future__ import annotations

import errno
import json
import math
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import dpm_core.jobs.storage.run_folder as disk
import dpm_core.jobs.thread.threads as threads
from dpm_core import jobs
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig
from dpm_core.data.images import ImageDataset
from dpm_core.data.toy2d import make_dataset
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.storage.metrics_log import MetricsLog
from dpm_core.jobs.storage.run_folder import RunFolder
from dpm_core.jobs.thread.run_context import data_fingerprint
from dpm_core.jobs.thread.threads import FairLock, choose_threads, lower_priority
from dpm_core.measure.bound import BoundEstimate, estimate_bound, evaluate_bound
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.samplers import ddim
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer, snapshots
from dpm_core.training.snapshots import PLATEAU, Evaluator, Snapshot, has_plateaued, thin_snapshots

TINY = NetworkConfig("mlp", (("depth", 1), ("features", 2), ("width", 16)))
RUN = RunConfig(schedule=ScheduleConfig("log_snr", 8), network=TINY, training=TrainConfig(batch=16, decay="none"))


def points(n=64, seed=0):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


def model(T=8, shape=(2,), network=TINY):
    made = build_model(network, GaussianDiffusion(make_schedule("log_snr", T)), shape)
    torch.nn.init.normal_(made.network.outputs.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    return made


def snapshot(step, weights=0):
    return Snapshot(step, step / 2, -1.0, 0.1, -4.0, np.array([8, 0]), np.zeros((2, 3, 2), np.float32), {"w": torch.zeros(weights)})


def test_log_drops_what_came_after_and_what_was_cut_short(tmp_path):
    """Rows up to the restored step stay; later ones, half a row and lines that are no rows go; what is added follows."""
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    for step in range(6):
        log.add({"step": step, "loss": 1.5})
        log.flush()
    with open(path, "ab") as file:
        file.write(b'[1]\n{"loss": 1}\n\xff\xfe\n{"step": 2, "lo')
    log = MetricsLog(path, 3)
    assert [row["step"] for row in log.rows()] == [0, 1, 2, 3] and [row["step"] for row in log.rows(2)] == [2, 3]
    log.add({"step": 4})
    log.flush()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1, 2, 3, 4]
    log.rows()[0]["step"] = 99
    assert log.rows()[0]["step"] == 0


def test_log_on_a_full_disk_writes_nothing_twice(tmp_path, monkeypatch):
    """A row of which only a part was written comes whole with the next flush."""
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.add({"step": 0})
    log.flush()
    log.add({"step": 1})

    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def __getattr__(self, name):
            return getattr(self.file, name)

        def write(self, data):
            self.file.write(data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", lambda *args, _open=open: Full(_open(*args)))
        with pytest.raises(OSError, match="No space"):
            log.flush()
    assert path.read_text() == '{"step": 0}\n{"ste'
    log.add({"step": 2})
    log.flush()
    log.flush()
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 1, 2]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x"
    disk.replace_file(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dpm_core.files.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            disk.replace_file(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_snapshots_on_disk(tmp_path):
    """Written once, deleted when no longer kept, read back exactly up to a step; one that is broken is counted."""
    folder = RunFolder(tmp_path / "run")
    folder.create({})
    one, two, three = snapshot(1, 3), snapshot(2, 3), snapshot(3)
    folder.write_snapshots([one, two])
    first = (folder.snapshots / "000000001.safetensors").stat().st_mtime_ns
    folder.write_snapshots([one, three])
    assert (folder.snapshots / "000000001.safetensors").stat().st_mtime_ns == first
    (folder.snapshots / "000000002.safetensors").write_bytes(b"nonsense")
    (read,), bad = folder.read_snapshots(2)
    assert bad == 1 and (read.step, read.seconds, read.bound_bits, read.null_bits) == (1, 0.5, -1.0, -4.0)
    assert np.array_equal(read.times, one.times) and torch.equal(read.weights["w"], one.weights["w"])
    assert [s.step for s in folder.read_snapshots(3)[0]] == [1, 3]


def test_thinning_keeps_first_and_last_and_recent_weights():
    kept = []
    for step in range(500):
        kept = thin_snapshots([*kept, snapshot(step)])
        assert len(kept) <= 40 and kept[0].step == 0 and kept[-1].step == step
    even = np.diff(np.sqrt([s.step for s in kept[:-1]]))  # √500/39 = 0.57 each, were they spread ideally
    assert even.min() > 0.2 and even.max() < 1.2
    heavy = thin_snapshots([snapshot(step, 5 << 20) for step in range(5)])  # 20 MB each, 64 MB allowed
    assert [s.weights is not None for s in heavy] == [False, False, True, True, True]
    alone = thin_snapshots([snapshot(0, 20 << 20)])
    assert alone[0].weights is not None


def test_a_plateau_is_no_rise_beyond_the_error():
    rising = [(float(k), 0.5) for k in range(40)]
    assert not has_plateaued(rising) and not has_plateaued(rising[:3]) and not has_plateaued([])
    assert has_plateaued(rising + [(39.4, 0.5)] * 20)
    assert not has_plateaued(rising + [(39.4, 0.5)] * (PLATEAU - 1))
    assert not has_plateaued(rising + [(39.4, 0.5)] * 19 + [(40.0, 0.5)])
    assert not has_plateaued([(float("nan"), float("nan"))] * 50)


def test_a_plateau_is_seen_pair_by_pair():
    """256 pairs that differ much from each other: a rise of a fifth of K's error is seen when every pair rises, and is none when
    pairs rise and fall by more; one of a hundredth is not waited for. Estimates do not pile up."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.rand(256, generator=generator, dtype=torch.float64) * 10
    base = BoundEstimate(torch.arange(256) + 2, spread, 257, 0.0, 0.0, 0.0, 0.0)
    error = base.standard_error_bits

    def judged(kl, restored=False):
        first, then = base, replace(base, kl_nats=kl)
        bounds = [(e.bound_bits, e.standard_error_bits) for e in [first] * 4 + [then] * PLATEAU]
        estimates = {} if restored else dict(enumerate([first] * 4 + [then] * PLATEAU))
        found = has_plateaued(bounds, estimates), has_plateaued(bounds)
        assert len(estimates) <= PLATEAU + 1
        return found

    rise = error * math.log(2) / 256  # of each pair, that K rises by its error
    assert judged(spread - 0.2 * rise) == (False, True)
    assert judged(spread - 0.2 * rise, restored=True) == (False, True)
    assert judged(spread - 0.01 * rise) == (True, True)
    uneven = torch.randn(256, generator=generator, dtype=torch.float64)
    assert judged(spread - 0.2 * rise - 5 * rise * (uneven - uneven.mean())) == (True, True)
    assert judged(spread - 1.5 * rise) == (False, False)
    base = replace(base, ends=256 * spread)  # terms of K that do not depend on the model
    assert judged(spread - 0.2 * rise) == (False, True)


def test_a_watcher_differs_by_the_weights_alone():
    """Twice the same model: the same K and samples, which are those of evaluate_bound and ddim called by hand."""
    net, held_out = model(), points(600)
    evaluator = Evaluator(net.diffusion, held_out, n=7, sample_steps=20, seed=3)
    one, two = evaluator.take_snapshot(net, 5, 1.0), evaluator.take_snapshot(net, 6, 2.0)
    assert one.bound_bits == two.bound_bits and np.array_equal(one.frames, two.frames)
    bound = evaluate_bound(net, net.diffusion, held_out[:500], torch.Generator().manual_seed(3))
    assert one.bound_bits == bound.bound_bits and one.bound_standard_error_bits == bound.standard_error_bits
    x_T = torch.randn(7, 2, generator=torch.Generator().manual_seed(3))
    by_hand = list(ddim(net, net.diffusion, x_T))
    assert one.times.tolist() == [step.t for step in by_hand]
    np.testing.assert_array_equal(one.frames, torch.stack([step.x for step in by_hand]).numpy())
    assert {k: v.dtype for k, v in one.weights.items()} == dict.fromkeys(net.network.state_dict(), torch.float16)


def test_a_watcher_of_long_chains_and_of_images_estimates():
    long = model(T=150)
    bound = estimate_bound(long, long.diffusion, points(500).repeat(4, 1), torch.Generator().manual_seed(0))
    assert Evaluator(long.diffusion, points(500), 2, 5, 0).bound(long).bound_bits == bound.bound_bits
    net = model(T=50, shape=(1, 8, 8), network=NetworkConfig("unet", (("levels", 1), ("width", 8))))
    x = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    bound = estimate_bound(net, net.diffusion, x.repeat(8, 1, 1, 1), torch.Generator().manual_seed(0))
    evaluator = Evaluator(net.diffusion, x, 2, 5, 0)
    assert evaluator.bound(net).bound_bits == bound.bound_bits
    taken = evaluator.take_snapshot(net, 1, 1.0)
    assert torch.equal(taken.estimate.kl_nats, bound.kl_nats) and taken.bound_bits == bound.bound_bits


def test_a_watchers_error_counts_what_is_independent():
    """Over 200 draws of 40 points, each used at 50 times, or of 20 that occur twice: K spreads as its standard error says, within a
    fifth. Were the pairs independent, it would be less than four fifths of that."""
    net = model(T=150)
    for distinct in (40, 20):
        found = []
        for seed in range(200):
            held_out = points(distinct, seed).repeat(40 // distinct, 1)
            groups = None if distinct == 40 else torch.arange(40) % distinct
            found.append(Evaluator(net.diffusion, held_out, 2, 5, seed, groups).bound(net))
        spread = float(np.std([bound.bound_bits for bound in found], ddof=1))
        stated = float(np.mean([bound.standard_error_bits for bound in found]))
        assert abs(stated / spread - 1) < 0.2
        pairs = float(np.mean([replace(bound, groups=None).standard_error_bits for bound in found]))
        assert pairs < 0.8 * spread


def start(tmp_path, steps=3):
    job = jobs.start(JobConfig("run", RUN, Stop(steps=steps), threads=1), points(), points(20, 1), tmp_path)
    assert job.join(60)
    return job.folder


def test_what_cannot_be_resumed_is_said_in_one_sentence(tmp_path):
    folder = start(tmp_path)
    state, header = (folder / "state.safetensors").read_bytes(), (folder / "job.json").read_text()

    def refused(words, data=None):
        with pytest.raises(JobError, match=words) as caught:
            jobs.resume_run(folder, points() if data is None else data, points(20, 1))
        assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
        assert not RunFolder(folder).is_locked()

    for text in (state[: len(state) // 2], b"", b"nonsense" * 10):
        (folder / "state.safetensors").write_bytes(text)
        refused("saved state of 'run' cannot be read")
        assert jobs.runs(tmp_path)[0].step == 0
    (folder / "state.safetensors").write_bytes(state)
    wider = json.loads(header)
    wider["job"]["run"]["network"]["params"]["width"] = 8
    (folder / "job.json").write_text(json.dumps(wider))
    refused("does not match")
    for text in ("", "{", "[]", '{"format": "other"}', '{"format": "dpm-run-1", "job": {"name": 3}}'):
        (folder / "job.json").write_text(text)
        refused("contains no readable run")
        assert jobs.runs(tmp_path) == []
    (folder / "job.json").write_text(header)
    refused("larger than the data set", points(4))
    with pytest.raises(JobError, match="no readable run"):
        jobs.resume_run(tmp_path / "nowhere", points(), points(20, 1))
    job = jobs.resume_run(folder, points(), points(20, 1), stop=Stop(steps=5))
    assert job.join(60) and job.step == 5 and job.message == ""


def test_a_config_of_an_older_version_is_read(tmp_path):
    """Older versions stored the number of samples of a snapshot as "watch"."""
    folder = start(tmp_path)
    stored = json.loads((folder / "job.json").read_text())
    stored["job"]["watch"] = stored["job"].pop("snapshot_samples") + 5
    (folder / "job.json").write_text(json.dumps(stored))
    assert RunFolder(folder).read_header()[0].snapshot_samples == stored["job"]["watch"] == JobConfig("x").snapshot_samples + 5


def test_a_run_goes_on_with_its_own_data_alone(tmp_path):
    """Other data of the same name are refused in one sentence; a run of before that was noted is taken at its word."""
    folder = start(tmp_path)
    with pytest.raises(JobError, match="trained on different data") as caught:
        jobs.resume_run(folder, points(seed=5), points(20, 1))
    assert str(caught.value).endswith(".") and not RunFolder(folder).is_locked()
    header = RunFolder(folder).read_header()[1]
    del header["data"]
    RunFolder(folder).write_header(header)
    job = jobs.resume_run(folder, points(seed=5), points(20, 1), stop=Stop(steps=4))
    assert job.join(60) and job.step == 4


def test_data_are_known_again():
    """One point or pixel, or the noise, tells a person's own data from others; their title does not. Built-in sets by constants."""
    plane = make_dataset("moons")
    other = replace(plane, points=plane.points.clone().index_put((torch.tensor(3),), torch.zeros(2, dtype=torch.float64)))
    sets = (plane, replace(plane, title="x"), other, replace(plane, noise=plane.noise * 2))
    own = [data_fingerprint(DataConfig("own"), data) for data in sets]
    assert own[0] == own[1] and own[0] != own[2] and own[0] != own[3] and json.loads(json.dumps(own[0])) == own[0]
    pixels = torch.randint(256, (1, 1, 20, 20), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    picture = ImageDataset("image", "A", (1, 8, 8), 128.0, 74.0, 256, train=pixels, held_out=pixels)
    changed = pixels.clone()
    changed[0, 0, 5, 5] ^= 1
    other_picture = replace(picture, train=changed, held_out=changed)
    assert data_fingerprint(DataConfig("image"), picture) != data_fingerprint(DataConfig("image"), other_picture)
    assert "digest" not in data_fingerprint(DataConfig("digits"), picture)
    assert data_fingerprint(DataConfig("digits"), picture) != data_fingerprint(DataConfig("digits"), replace(picture, scale=75.0))


def test_a_disk_that_is_full_hides_no_run(tmp_path, monkeypatch):
    """A start that fails, at whichever file, leaves the run of that name and the one before as they were."""
    start(tmp_path, 2)
    folder = start(tmp_path, 3)
    old, write = RunFolder(tmp_path / ".run.old"), disk.replace_file
    before = sorted(path.name for path in tmp_path.iterdir())
    for refused in range(4):
        left = [refused]

        def full(path, data, left=left):
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            left[0] -= 1
            write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(disk, "replace_file", full)
            if refused < 2:
                with pytest.raises(JobError, match="The disk is full"):
                    jobs.start(JobConfig("run", RUN, Stop(steps=1), threads=1), points(), points(20, 1), tmp_path, paused=True)
                assert jobs.runs(tmp_path)[0].step == 3 and old.state_step() == 2
            else:  # only then does it take the place; what it cannot write later, it says
                job = jobs.start(JobConfig("run", RUN, Stop(steps=1), threads=1), points(), points(20, 1), tmp_path, paused=True)
                job.stop()
                assert job.join(60) and old.state_step() == 3
                (folder / "state.safetensors").unlink(missing_ok=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    (folder / "job.json").unlink()
    start(tmp_path, 1)
    assert old.state_step() == 3  # what had no job.json went


def test_a_new_run_that_cannot_take_the_place_gives_it_back(tmp_path, monkeypatch):
    folder = start(tmp_path, 3)
    rename = type(tmp_path).rename

    def refuse(path, target):
        if ".new-" in path.name:
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(type(tmp_path), "rename", refuse)
        with pytest.raises(OSError, match="Input/output"):
            RunFolder(folder).create({})
    assert (
        {path.name for path in tmp_path.iterdir()} == {"run", ".queue"}
        and not RunFolder(folder).is_locked()
        and jobs.runs(tmp_path)[0].step == 3
    )
    folder.rename(tmp_path / ".run.aside")  # killed between the two
    RunFolder(folder).create({})
    assert RunFolder(tmp_path / ".run.old").state_step() == 3


def test_one_bad_folder_hides_no_other(tmp_path, monkeypatch):
    """A number of 400 digits, a lock that cannot be opened, a file system without locks."""
    folder = start(tmp_path)
    header = json.loads((folder / "job.json").read_text()) | {"status": "running"}
    for name in ("huge", "locked"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "job.json").write_text(json.dumps(header))
    header["job"]["stop"]["seconds"] = 10**400
    (tmp_path / "huge" / "job.json").write_text(json.dumps(header))
    (tmp_path / "locked" / "lock").mkdir()
    assert {info.name: info.status for info in jobs.runs(tmp_path)} == {"run": "finished", "locked": "interrupted"}
    with pytest.raises(JobError, match="no readable run"):
        jobs.resume_run(tmp_path / "huge", points(), points(20, 1))

    def none(_):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / "locked" / "lock").rmdir()
    (tmp_path / "locked" / "lock").touch()
    monkeypatch.setattr(disk, "try_lock", none)
    assert {info.name: info.status for info in jobs.runs(tmp_path)} == {"run": "finished", "locked": "interrupted"}


def test_weights_that_were_let_go_leave_the_disk_too(tmp_path, monkeypatch):
    """Written again without them, also by a process that only read them; a restart lets go of as many as a run that went on."""
    folder = RunFolder(tmp_path / "run")
    folder.create({})
    one, two = snapshot(1, 3000), snapshot(2, 3000)
    folder.write_snapshots([one, two])
    again = RunFolder(folder.path)
    for here, light in ((folder, replace(one, weights=None)), (again, replace(two, weights=None))):
        (read, last), _ = here.read_snapshots(2)
        here.write_snapshots([light if light.step == s.step else s for s in (read, last)])
        size = (folder.snapshots / f"{light.step:09d}.safetensors").stat().st_size
        assert size < 2000 and [s.weights is None for s in here.read_snapshots(2)[0]] == [s <= light.step for s in (1, 2)]
    monkeypatch.setattr(snapshots, "WEIGHT_BYTES", 1)
    where = start(tmp_path / "other", 2)
    for path in (where / "snapshots").iterdir():
        path.unlink()
    RunFolder(where).write_snapshots([snapshot(0, 3), snapshot(2, 3)])
    job = jobs.resume_run(where, points(), points(20, 1), paused=True)
    assert [s.weights is None for s in job.snapshots] == [True, False]
    job.stop()
    assert job.join(60)


def test_a_run_killed_before_its_first_state_begins_anew(tmp_path):
    folder = start(tmp_path)
    weights = RunFolder(folder).read_state()
    (folder / "state.safetensors").unlink()
    (folder / ".state.safetensors-abc").write_bytes(b"half")
    job = jobs.resume_run(folder, points(), points(20, 1))
    assert job.join(60) and job.step == 3 and not list(folder.glob(".*"))
    assert all(torch.equal(v, weights[k]) for k, v in RunFolder(folder).read_state().items() if not k.startswith("job."))


def test_a_snapshot_that_is_broken_is_done_without(tmp_path):
    folder = start(tmp_path)
    sorted((folder / "snapshots").iterdir())[0].write_bytes(b"")
    job = jobs.resume_run(folder, points(), points(20, 1), paused=True)
    assert "1 of the run's snapshots could not be read" in job.message and len(job.snapshots) == 1
    job.stop()
    assert job.join(60)


def test_runs_are_found_where_they_are_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setenv("DPM_RUNS", str(tmp_path / "runs"))
    assert jobs.runs() == [] and jobs.runs_folder() == tmp_path / "runs"
    job = jobs.start(JobConfig("here", RUN, Stop(steps=2)), points(), points(20, 1))
    assert job.join(60) and job.folder == tmp_path / "runs" / "here"
    (info,) = jobs.runs()
    assert (info.name, info.step, info.status, info.config) == ("here", 2, "finished", job.config)
    monkeypatch.delenv("DPM_RUNS")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jobs.runs_folder() == tmp_path / ".local" / "share" / "dpm-explorer" / "runs"


def test_turns_go_to_whom_waits():
    """A loop that takes the lock again at once still lets ten others in within ten of its rounds."""
    turns, rounds, over = FairLock(), [0], threading.Event()

    def loop():
        while not over.is_set():
            with turns:
                rounds[0] += 1

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    waited = []
    for _ in range(50):
        before = rounds[0]
        with turns:
            waited.append(rounds[0] - before)
    over.set()
    thread.join()
    assert sorted(waited)[25] <= 3


def test_threads_are_measured(monkeypatch):
    """All cores when they are faster, 1 when they are not or the network is small; this thread's own number is not touched."""
    cores = len(threads.os.sched_getaffinity(0))
    if cores == 1:
        pytest.skip("one core")
    found = []

    def choose(small, one, every):
        monkeypatch.setattr(threads, "SMALL", small)
        monkeypatch.setattr(threads, "_seconds_per_step", lambda trial, n, hopeless=0: one if n == 1 else every)
        found.append(choose_threads(Trainer(model(), points(), RUN.training)))

    for case in ((0, 1.0, 0.5), (0, 1.0, 0.95), (1e12, 1.0, 0.5)):
        choose(*case)
    assert found == [cores, 1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="niceness of threads is Linux's")
def test_a_worker_gives_way_alone():
    """Only the thread that asks, and those it starts, are nicer."""
    import os

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before, inside = priority(), []

    def work() -> None:
        lower_priority()
        inside.append(priority())
        child = threading.Thread(target=lambda: inside.append(priority()))
        child.start()
        child.join()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert inside == [min(before + 10, 19)] * 2 and priority() == before


def test_threads_of_one_worker_are_its_own():
    """set_num_threads in one thread leaves the number in every other as it is."""
    before, inside = torch.get_num_threads(), []

    def worker():
        torch.set_num_threads(before + 1)
        inside.append(torch.get_num_threads())
        ready.set()
        go.wait()
        inside.append(torch.get_num_threads())

    ready, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=worker)
    thread.start()
    ready.wait()
    assert torch.get_num_threads() == before
    torch.set_num_threads(before)
    go.set()
    thread.join()
    assert inside == [before + 1, before + 1]
