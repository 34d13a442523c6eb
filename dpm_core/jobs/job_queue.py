"""Who trains now: a few jobs at once on each device, the others in order of arrival."""

from __future__ import annotations

import threading

CAPACITY = {"cpu": 2, "cuda": 1, "mps": 1}  # jobs that train at once on each device


class JobQueue:
    """The line before each device; the first ``CAPACITY`` in it train. Hold ``changed`` while you ask or change anything."""

    def __init__(self) -> None:
        self.condition = threading.Condition()  # on a lock that its holder may take again
        self._lines: dict[str, list[object]] = {device: [] for device in CAPACITY}

    def enter(self, job: object, device: str) -> None:
        """Join the end of a device's line."""
        self._lines[device].append(job)
        self.condition.notify_all()

    def leave(self, job: object) -> None:
        """Give the place up, if there is one."""
        for line in self._lines.values():
            if job in line:
                line.remove(job)
        self.condition.notify_all()

    def position(self, job: object) -> int:
        """1 for the next one to train, 0 for those that do."""
        return max([0, *(line.index(job) - CAPACITY[device] + 1 for device, line in self._lines.items() if job in line)])


job_queue = JobQueue()  # of this process, which has one set of devices
