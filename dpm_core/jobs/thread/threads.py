"""Processor threads of a job: how many it uses, its priority, and a fair lock."""

from __future__ import annotations

import math
import os
import sys
import threading
import time

import torch

from dpm_core.training import Trainer, TrainingError

SMALL = 1e8  # weights × batch × pixels: a smaller step (10 ms on one core) does not gain from several threads
GAIN = 0.87  # all cores are used if a step then takes less than this fraction of its time on one core
NICENESS = 10  # added to that of a job, so that pages stay responsive
MEASUREMENT_SECONDS = 0.2  # for each candidate, after one step that is not counted


class FairLock:
    """A lock that serves threads in order of arrival, so that a loop that acquires it repeatedly does not starve other threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next_ticket = self._serving = 0

    def __enter__(self) -> None:
        with self._changed:
            ticket = self._next_ticket
            self._next_ticket += 1
            while ticket != self._serving:
                self._changed.wait()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._serving += 1
            self._changed.notify_all()


def lower_priority() -> None:
    """Lower the scheduling priority (raise the niceness) of the calling thread and of threads that it starts, such as torch's own.

    Linux only: on other systems niceness belongs to the whole process.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


def choose_threads(trial: Trainer) -> int:
    """Return 1 for small networks, otherwise 1 or the number of cores, whichever is measured to be faster.

    ``trial`` is a copy of the trainer, to be discarded afterwards. torch.set_num_threads affects the thread that calls it and threads
    started later, but no other existing thread (verified with torch 2.13 and OpenMP: a page with 1 thread keeps 1 when a worker sets 2,
    and the reverse; a new thread that does not set a number gets the last number set anywhere). Therefore every worker and every page
    sets its own number.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    weights, pixels = sum(p.numel() for p in trial.model.parameters()), math.prod(trial.draw(1).x0.shape[2:])
    if cores == 1 or weights * trial.config.batch * pixels < SMALL:
        return 1
    try:
        one = _seconds_per_step(trial, 1)
        return cores if _seconds_per_step(trial, cores, 2 * one) < GAIN * one else 1
    except TrainingError:
        return 1  # the run itself will report the error


def _seconds_per_step(trial: Trainer, threads: int, hopeless: float = math.inf) -> float:
    """The shortest step in seconds; only the first step is measured if it takes longer than ``hopeless``."""
    torch.set_num_threads(threads)
    began = time.perf_counter()
    trial.step()
    first = time.perf_counter() - began
    if first > hopeless:
        return first
    best, began = math.inf, time.perf_counter()
    while time.perf_counter() - began < MEASUREMENT_SECONDS:
        before = time.perf_counter()
        trial.step()
        best = min(best, time.perf_counter() - before)
    return best
