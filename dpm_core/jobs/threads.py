"""How many processor threads a job works with, and how threads take turns."""

from __future__ import annotations

import math
import os
import sys
import threading
import time

import torch

from dpm_core.training import Trainer, TrainingError

SMALL = 1e8  # weights × data × pixels of one step: less than this (10 ms on one core) is too little to share
GAIN = 0.87  # all cores are taken when a step then needs less than this of its time with one
NICE = 10  # added to a job's niceness: who waits for a page comes before who waits for a model
MEASURED = 0.2  # seconds for each candidate, after one step that is not counted


class FairLock:
    """A lock that serves in order of arrival: a loop that takes it again and again keeps nobody else waiting."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = self._serving = 0

    def __enter__(self) -> None:
        with self._changed:
            mine = self._given
            self._given += 1
            while mine != self._serving:
                self._changed.wait()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()


def lower_priority() -> None:
    """Let the operating system prefer other threads to the calling one and to those it will start (torch's own).

    Linux only: elsewhere niceness is a whole process's.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


def choose_threads(trial: Trainer) -> int:
    """1 for small networks, else 1 or all cores, whichever steps faster here and now; ``trial`` is a copy, thrown away afterwards.

    torch.set_num_threads acts on the thread that calls it and on threads born later, never on others that exist
    (tried with torch 2.13 and OpenMP: a page at 1 stays at 1 when a worker takes 2, and the reverse; a new thread
    that calls nothing gets the last number anybody set). So a worker sets its own, and every page its own.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    weights, pixels = sum(p.numel() for p in trial.model.parameters()), math.prod(trial.draw(1).x0.shape[2:])
    if cores == 1 or weights * trial.config.batch * pixels < SMALL:
        return 1
    try:
        one = _seconds_per_step(trial, 1)
        return cores if _seconds_per_step(trial, cores, 2 * one) < GAIN * one else 1
    except TrainingError:
        return 1  # the run itself will say what is wrong


def _seconds_per_step(trial: Trainer, threads: int, hopeless: float = math.inf) -> float:
    """The shortest step; only the first one when it takes longer than ``hopeless``, as on a machine busy with other things."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    trial.step()
    first = time.perf_counter() - began
    if first > hopeless:
        return first
    best, began = math.inf, time.perf_counter()
    while time.perf_counter() - began < MEASURED:
        before = time.perf_counter()
        trial.step()
        best = min(best, time.perf_counter() - before)
    return best
