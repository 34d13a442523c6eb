"""The commands given to a job (run, pause, stop, single steps), by the user or by a time limit, and its status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dpm_core.jobs.config import JobError
from dpm_core.jobs.job import FINAL_STATUSES
from dpm_core.jobs.thread.job_queue import job_queue

PAUSE_AFTER = 180.0  # seconds without keep_alive after which a job pauses
STOP_AFTER = 3600.0  # seconds without keep_alive after which a paused job stops


class Commands:
    """The last command counts, and stop is final. Safe to use from any thread.

    ``runs`` is the folder of all runs that share the queue; without it the job never waits. ``job_queue.condition`` protects the state
    and is notified of every change.
    """

    def __init__(self, device: str, runs: Path | None, paused: bool, clock: Callable[[], float]):
        self.message = ""  # the reason for the present status
        self.final_status = ""  # set once everything is written
        self.ending = False  # the job is ending; further commands have no effect
        self.waiting = False  # the job's thread waits for a command
        self._device, self._runs, self._clock = device, runs, clock
        self._requested, self._last_keep_alive = "pause" if paused else "run", clock()
        self._steps_requested = self._steps_done = 0

    @property
    def status(self) -> str:
        """One of "queued", "running", "paused", "finished", "stopped" and "failed"."""
        with job_queue.condition:
            if self.final_status or self._requested != "run":
                return self.final_status or {"pause": "paused", "stop": "stopped"}[self._requested]
            return "queued" if job_queue.position(self) else "running"

    @property
    def queue_position(self) -> int | None:
        """1 for the next job to train; None unless queued."""
        with job_queue.condition:
            return job_queue.position(self) if self.status == "queued" else None

    @property
    def idle_seconds(self) -> float:
        """Seconds since the last ``keep_alive``."""
        return self._clock() - self._last_keep_alive

    def keep_alive(self) -> None:
        """Restart the time limits after which the job pauses or stops."""
        self._last_keep_alive = self._clock()

    def enter_queue(self) -> None:
        """Enter the queue, unless paused; called when the job's thread starts."""
        with job_queue.condition:
            if self._requested == "run":
                job_queue.enter(self, self._device, self._runs)

    def request(self, command: str, message: str = "") -> None:
        """Give the command "run", "pause" or "stop"; without effect if it is in force already or the job is ending."""
        with job_queue.condition:
            if self.final_status or self.ending or self._requested in ("stop", command):
                return
            self._requested, self.message = command, message
            job_queue.leave(self)
            if command == "run":
                job_queue.enter(self, self._device, self._runs)

    def step_once(self) -> None:
        """Request one step while paused, and wait until it is done or the job has ended. Raises JobError after the end."""
        with job_queue.condition:
            if self.status in FINAL_STATUSES:
                raise JobError("This run has ended; resume it from its folder to continue.")
            self._steps_requested += 1
            number = self._steps_requested
            job_queue.condition.notify_all()
            job_queue.condition.wait_for(lambda: self._steps_done >= number or bool(self.final_status))

    def step_done(self) -> None:
        """Report that the job's thread has done a requested step."""
        with job_queue.condition:
            self._steps_done += 1
            job_queue.condition.notify_all()

    def may_step(self) -> bool:
        """Return whether the command is still "run"."""
        return self._requested == "run"

    def next_action(self, save_due: Callable[[], bool]) -> str:
        """Return the next action of the job's thread: "run", "step", "save" (when due) or "stop". Waits if there is none."""
        with job_queue.condition:
            while True:
                if self._requested == "stop":
                    return "stop"
                if self._steps_requested > self._steps_done:
                    return "step"
                status = self.status
                if save_due():
                    return "save"
                if status == "paused" and self.idle_seconds > STOP_AFTER:
                    self.request("stop", f"Stopped after {STOP_AFTER / 60:.0f} minutes without an open page; resume it from its folder.")
                elif status != "paused" and self.idle_seconds > PAUSE_AFTER:
                    self.request("pause", f"Paused after {PAUSE_AFTER / 60:.0f} minutes without an open page; resume to continue.")
                elif status == "running":
                    return "run"
                else:
                    self.waiting = True
                    job_queue.condition.notify_all()
                    job_queue.condition.wait(0.5)  # the time limits notify nobody, so they are checked again after this time
                    self.waiting = False

    def begin_finish(self) -> None:
        """Report that the run has reached its end, whatever the last command; a snapshot and the state are still written."""
        with job_queue.condition:
            self.ending, self.message = True, ""

    def leave_queue(self, message: str) -> None:
        """Report that the thread trains no more; the state is still written."""
        with job_queue.condition:
            self.ending = True
            job_queue.leave(self)
            self.message = message or self.message

    def end(self, final_status: str) -> None:
        """Report that everything is written, or cannot be."""
        with job_queue.condition:
            self.final_status = final_status
            job_queue.leave(self)
            job_queue.condition.notify_all()
