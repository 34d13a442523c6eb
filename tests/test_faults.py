"""The disk is full, a folder may not be written, the clock is set back: one sentence, and what was there stays whole.

The disk is full for the operating system too: no file may grow beyond a limit, wherever in the file that happens to be.
"""

from __future__ import annotations

import errno
import io
import resource
import subprocess
import sys
import time
from contextlib import contextmanager, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from dpm_core import checkpoints, jobs
from dpm_core.cli.main import main
from dpm_core.files import in_words, written_whole
from dpm_core.jobs import JobConfig, JobError, Stop
from dpm_core.jobs.process.engine import ProcessEngine
from dpm_core.jobs.storage.run_folder import RunFolder
from tests.jobs.engines import RUN, flat, points, until

TIMES = 100  # places in a file at which the disk is full
FULL = "The disk is full, and nothing was changed; free some space and try again."


@contextmanager
def full_after(size: int):
    """No file may grow beyond ``size`` bytes."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_checkpoint_on_a_disk_that_is_full_anywhere(tmp_path):
    """A hundred places within its two files: the earlier one of this name is as it was, and nothing lies beside it."""
    shipped = checkpoints.load("swiss_roll_rbf")
    path = checkpoints.save(shipped, tmp_path)
    before = files(tmp_path)
    for size in np.linspace(0, path.stat().st_size - 1, TIMES, dtype=int):
        with full_after(int(size)), pytest.raises(OSError) as found:
            checkpoints.save(shipped, tmp_path)
        assert in_words(found.value) == FULL and files(tmp_path) == before
    checkpoints.save(shipped, tmp_path)


def test_a_state_on_a_disk_that_is_full_anywhere(tmp_path):
    """A hundred places: the run can still be read, and goes on from the state before."""
    folder = RunFolder(tmp_path / "run")
    folder.create({})
    old, new = ({"step": torch.tensor(n), "weights": torch.full((1000,), float(n))} for n in (1, 2))
    folder.write_state(old)
    before, length = files(tmp_path), (tmp_path / "run" / "state.safetensors").stat().st_size
    for size in np.linspace(0, length - 1, TIMES, dtype=int):
        with full_after(int(size)), pytest.raises(OSError) as found:
            folder.write_state(new)
        assert in_words(found.value) == FULL and files(tmp_path) == before and folder.state_step() == 1
    folder.write_state(new)
    assert folder.state_step() == 2


def test_a_run_on_a_full_disk_trains_on_and_saves_later(tmp_path):
    """It says so, loses nothing, and writes its state when there is space again."""
    job = jobs.start(JobConfig("run", RUN, Stop(), threads=1), points(), points(20, 1), tmp_path)
    until(lambda: job.step > 0)
    with full_after(100):
        job.pause()
        until(lambda: "training continues" in job.message or "File too large" in job.message)
        job.resume()
        step = job.step
        until(lambda: job.step > step)
        with pytest.raises(OSError):
            job.save("kept", tmp_path / "models")
        assert not list((tmp_path / "models").iterdir())
    job.stop()
    assert job.join(20) and RunFolder(job.folder).state_step() == job.step
    assert job.save("kept", tmp_path / "models").exists()


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".png"])
def test_an_export_on_a_full_disk(tmp_path, suffix, capsys):
    """The earlier export is as it was; one sentence, and the code of an error."""
    output = tmp_path / f"samples{suffix}"
    command = ["sample", "swiss_roll_rbf", "-n", "200", "--steps", "2", "-o", str(output)]
    assert main(command) == 0
    before = files(tmp_path)
    for size in np.linspace(0, 0.9 * output.stat().st_size, 5, dtype=int):
        with full_after(int(size)), redirect_stderr(io.StringIO()) as said:
            code = main([*command, "--seed", "1"])
        assert code == 2 and said.getvalue().splitlines()[-1] == f"error: {FULL}" and files(tmp_path) == before


def read_only(*_, prefix, dir, **__):
    raise OSError(errno.EROFS, "Read-only file system", f"{dir}/{prefix}x")


def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch):
    """One sentence that names it."""
    monkeypatch.setattr("dpm_core.files.tempfile.mkstemp", read_only)
    with pytest.raises(OSError) as found:
        checkpoints.save(checkpoints.load("swiss_roll_rbf"), tmp_path)
    assert in_words(found.value) == f"Nothing may be written in {tmp_path}; allow it, or choose another folder."
    with pytest.raises(JobError, match=r"^Nothing may be written in"):
        jobs.start(JobConfig("run", RUN, threads=1), points(), points(20, 1), tmp_path / "runs")
    assert not list(tmp_path.glob("*.json")) and not list((tmp_path / "runs").glob("[!.]*"))


@pytest.mark.parametrize(
    "error, words",
    [
        (OSError(28, "No space left on device"), FULL),
        (OSError(30, "Read-only file system", "/a/b.json"), "Nothing may be written in /a; allow it, or choose another folder."),
        (OSError(5, "Input/output error", "/a/b"), "Input/output error: /a/b."),
        (OSError(5, "Input/output error", "/a/.b-x"), "Input/output error: /a."),
        (OSError(5, "Input/output error"), "Input/output error."),
        (OSError("of our own."), "of our own."),
        (ValueError(""), "ValueError"),
    ],
)
def test_the_words_for_an_error(error, words):
    assert in_words(error) == words


def test_what_is_written_whole_keeps_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as new:
        new.write_text("half")
        raise ZeroDivisionError
    assert files(tmp_path) == {"a.txt": b"old"}


def test_two_processes_resume_one_run(tmp_path):
    """The second is refused in one sentence, and the first trains on; whoever comes when it has stopped may go on."""
    job = jobs.start(JobConfig("run", RUN, Stop(), threads=1), points(), points(20, 1), tmp_path, engine=ProcessEngine())
    until(lambda: job.step > 5)
    job.stop()
    assert job.join(20)
    job.close()
    program = f"""
import sys
from pathlib import Path
from dpm_core import jobs
from dpm_core.jobs.process.engine import ProcessEngine
from tests.jobs.engines import points, until
sys.stdin.readline()
try:
    job = jobs.resume_run(Path({str(tmp_path / "run")!r}), points(), points(20, 1), engine=ProcessEngine())
    print("resumed", flush=True)
    step = job.step
    sys.stdin.readline()
    until(lambda: job.step > step)
    job.stop()
    print(job.join(20), flush=True)
except jobs.JobError as error:
    print(error, flush=True)
"""
    both = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in both:
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.stdout.readline() for one in both]
    assert sorted(said) == ["A run named 'run' is still training; stop it first, or choose another name.\n", "resumed\n"]
    winner = both[said.index("resumed\n")]
    assert winner.communicate("\n", timeout=60)[0] == "True\n"
    for one in both:
        one.communicate(timeout=60)
    assert jobs.runs(tmp_path)[0].status == "stopped"


def test_a_clock_that_is_set_back(tmp_path, monkeypatch):
    """By a day, while runs train: they train on, in the order of their coming, are saved, listed and resumed."""
    started = [jobs.start(JobConfig(name, RUN, Stop(), threads=1), points(), points(20, 1), tmp_path) for name in "abc"]
    until(lambda: started[0].step > 5)
    seconds = started[0].progress.seconds
    now, now_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: now() - 86_400)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns() - 86_400 * 10**9)
    fourth = jobs.start(JobConfig("d", RUN, Stop(), threads=1), points(), points(20, 1), tmp_path)
    step = started[0].step
    until(lambda: started[0].step > step + 5 and started[0].progress.seconds > seconds)
    assert [job.queue_position for job in (started[2], fourth)] == [1, 2]
    for job in started[:2]:
        job.stop()
        assert job.join(20) and job.status == "stopped"
    until(lambda: started[2].step > 0 and fourth.step > 0)
    for job in (started[2], fourth):
        job.stop()
        assert job.join(20)
    assert {info.name for info in jobs.runs(tmp_path)} == set("abcd")
    assert all(info.updated <= datetime.now(UTC) for info in jobs.runs(tmp_path))
    again = jobs.resume_run(tmp_path / "a", points(), points(20, 1), stop=Stop(steps=started[0].step + 3))
    assert again.join(30) and again.step == started[0].step + 3 and bool(torch.isfinite(flat(again.weights())).all())
