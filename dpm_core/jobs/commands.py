"""What a job has been told to do, by people and by the rules, and what it says of itself."""

from __future__ import annotations

from collections.abc import Callable

from dpm_core.jobs.config import JobError
from dpm_core.jobs.job_queue import job_queue

UNWATCHED = 180.0  # seconds without a look after which a job pauses
FORGOTTEN = 3600.0  # and after which a paused one stops
ENDS = ("finished", "stopped", "failed")


class Commands:
    """Run, pause, stop or take single steps; the last order counts, and stop is the last. Safe to use from any thread."""

    def __init__(self, device: str, paused: bool, clock: Callable[[], float]):
        self.message = ""  # why it is as it is
        self.ended = ""  # how it ended, once everything is written
        self.closing = False  # it is ending, and nothing that is ordered changes that
        self.idle = False  # the thread only waits
        self._device, self._clock = device, clock
        self._wanted, self._last_keep_alive = "pause" if paused else "run", clock()
        self._asked = self._answered = 0  # single steps

    @property
    def status(self) -> str:
        """One of "queued", "running", "paused", "finished", "stopped" and "failed"."""
        with job_queue.condition:
            if self.ended or self._wanted != "run":
                return self.ended or {"pause": "paused", "stop": "stopped"}[self._wanted]
            return "queued" if job_queue.position(self) else "running"

    @property
    def queue_position(self) -> int | None:
        """1 for the next one to train; None unless queued."""
        with job_queue.condition:
            return job_queue.position(self) if self.status == "queued" else None

    @property
    def idle_seconds(self) -> float:
        """Seconds since somebody looked."""
        return self._clock() - self._last_keep_alive

    def keep_alive(self) -> None:
        """Somebody is looking."""
        self._last_keep_alive = self._clock()

    def enter(self) -> None:
        """Stand in line, unless paused: the job's thread begins."""
        with job_queue.condition:
            if self._wanted == "run":
                job_queue.enter(self, self._device)

    def want(self, what: str, message: str = "") -> None:
        """Order "run", "pause" or "stop"; without effect when it is so already or all is over, or about to be."""
        with job_queue.condition:
            if self.ended or self.closing or self._wanted in ("stop", what):
                return
            self._wanted, self.message = what, message
            job_queue.leave(self)
            if what == "run":
                job_queue.enter(self, self._device)

    def step_once(self) -> None:
        """Ask for one step while paused, and wait until it was done or the job has ended. Raises JobError when it is over."""
        with job_queue.condition:
            if self.status in ENDS:
                raise JobError("This run is over; resume it from its folder to go on.")
            self._asked += 1
            number = self._asked
            job_queue.condition.notify_all()
            job_queue.condition.wait_for(lambda: self._answered >= number or bool(self.ended))

    def step_done(self) -> None:
        """The job's thread has done a step that was asked for."""
        with job_queue.condition:
            self._answered += 1
            job_queue.condition.notify_all()

    def may_run(self) -> bool:
        """Whether another step may begin; a moment ago it could."""
        return self._wanted == "run"

    def next(self, save_due: Callable[[], bool]) -> str:
        """For the job's thread: "run", "step", "save" (when due) or "stop"; waits while there is nothing to do."""
        with job_queue.condition:
            while True:
                if self._wanted == "stop":
                    return "stop"
                if self._asked > self._answered:
                    return "step"
                status = self.status
                if save_due():
                    return "save"
                if status == "paused" and self.idle_seconds > FORGOTTEN:
                    self.want("stop", "Stopped, as nobody has been looking for a long time; the run can be resumed from its folder.")
                elif status != "paused" and self.idle_seconds > UNWATCHED:
                    self.want("pause", f"Paused, as nobody has been looking for {UNWATCHED / 60:.0f} minutes; resume to go on.")
                elif status == "running":
                    return "run"
                else:
                    self.idle = True
                    job_queue.condition.notify_all()
                    job_queue.condition.wait(0.5)  # the clock that tells how long nobody looked rings for nobody
                    self.idle = False

    def finish(self) -> None:
        """The end is reached, whatever was ordered last; what is left is a snapshot and to write."""
        with job_queue.condition:
            self.closing, self.message = True, ""

    def leave(self, message: str) -> None:
        """The thread does no more; what is left is to write."""
        with job_queue.condition:
            self.closing = True
            job_queue.leave(self)
            self.message = message or self.message

    def end(self, how: str) -> None:
        """Everything is written, or never will be."""
        with job_queue.condition:
            self.ended = how
            job_queue.leave(self)
            job_queue.condition.notify_all()
