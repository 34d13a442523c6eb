"""The queue of jobs before each device: a few train at once, the others wait in order of arrival."""

from __future__ import annotations

import threading

CAPACITY = {"cpu": 2, "cuda": 1, "mps": 1}  # jobs that train at once on each device


class JobQueue:
    """One queue per device; the first ``CAPACITY`` jobs of each train. Hold ``condition`` to call any method."""

    def __init__(self) -> None:
        self.condition = threading.Condition()  # its lock is reentrant
        self._queues: dict[str, list[object]] = {device: [] for device in CAPACITY}

    def enter(self, job: object, device: str) -> None:
        """Append a job to the queue of a device."""
        self._queues[device].append(job)
        self.condition.notify_all()

    def leave(self, job: object) -> None:
        """Remove a job, if it is queued."""
        for queue in self._queues.values():
            if job in queue:
                queue.remove(job)
        self.condition.notify_all()

    def position(self, job: object) -> int:
        """Return 1 for the next job to train, 0 for a job that trains or is not queued."""
        return max([0, *(queue.index(job) - CAPACITY[device] + 1 for device, queue in self._queues.items() if job in queue)])


job_queue = JobQueue()  # of this process, which has one set of devices
