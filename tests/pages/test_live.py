"""Stages of a run that are drawn again when there is a snapshot, without a browser."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from pages.ui.session.wake import Woken
from pages.ui.training import live


@dataclass(eq=False)
class Stage:
    """A fragment that notes when it is run again, and answers as it is told."""

    answers: list[Woken] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)

    def run_again(self) -> Woken:
        answer = self.answers.pop(0) if self.answers else Woken.YES
        if answer is Woken.YES:
            self.drawn.append(live.newest(self.job))
        return answer


@pytest.fixture
def job():
    made = SimpleNamespace(id="run", done=False, config=SimpleNamespace(name="run"), snapshots=[])
    yield made
    made.done = True
    until(lambda: "run" not in live._watchers)


def snapshot(job, step):
    job.snapshots = [*job.snapshots, SimpleNamespace(step=step)]


def until(condition):
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.005)


def show(job, stage, monkeypatch):
    stage.job = job
    monkeypatch.setattr(live, "this_fragment", lambda: stage)
    live.follow(job)


def test_every_stage_is_drawn_once_for_each_snapshot(job, monkeypatch):
    """Also one whose session is at work at first; one whose page was left is forgotten, and nobody is watched for nobody."""
    first, second = Stage(), Stage([Woken.BUSY, Woken.BUSY])
    show(job, first, monkeypatch)
    show(job, second, monkeypatch)
    for step in (0, 30):
        snapshot(job, step)
        until(lambda: first.drawn[-1:] == second.drawn[-1:] == [job.snapshots[-1].step])
    assert first.drawn == second.drawn == [0, 30]
    first.answers = [Woken.GONE]
    snapshot(job, 60)
    until(lambda: second.drawn == [0, 30, 60])
    second.answers = [Woken.GONE]
    snapshot(job, 90)
    until(lambda: "run" not in live._watchers)
    assert first.drawn == [0, 30] and second.drawn == [0, 30, 60]


def test_a_stage_that_shows_the_last_snapshot_already_rests(job, monkeypatch):
    snapshot(job, 5)
    stage = Stage()
    show(job, stage, monkeypatch)
    time.sleep(5 * live.LOOK_EVERY)
    assert stage.drawn == []


def test_the_last_snapshot_of_a_run_that_ends_is_drawn(job, monkeypatch):
    stage = Stage()
    show(job, stage, monkeypatch)
    snapshot(job, 7)
    job.done = True
    until(lambda: "run" not in live._watchers)
    assert stage.drawn == [7]
