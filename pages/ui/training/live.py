"""The stages of a run follow its snapshots: each is drawn again as soon as there is a new one, not when the browser next asks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError

from dpm_core import jobs
from pages.ui.session.wake import Fragment, Woken, this_fragment

LOOK_EVERY = 0.03  # seconds between two looks at the run

_watchers: dict[str, dict[Fragment, int]] = {}  # by the id of a run: the stages that show it, and the step of the snapshot on each
_lock = threading.Lock()


def follow(job: jobs.Job) -> None:
    """Draw the present fragment again when the run has another snapshot than now. Call it each time the fragment is drawn."""
    if job.done or (stage := this_fragment()) is None:
        return
    with _lock:
        if job.id not in _watchers:
            threading.Thread(target=_watch, args=(job,), name=f"stages of {job.config.name}", daemon=True).start()
        _watchers.setdefault(job.id, {})[stage] = newest(job)


def newest(job: jobs.Job) -> int:
    """The step of the last snapshot; −1 without one."""
    snapshots = job.snapshots
    return snapshots[-1].step if snapshots else -1


def _watch(job: jobs.Job) -> None:
    try:
        while True:
            ended = job.done
            _draw_again(job.id, newest(job))
            with _lock:
                if ended or not _watchers[job.id]:
                    del _watchers[job.id]
                    return
            time.sleep(LOOK_EVERY)
    except BaseException:
        with _lock:
            _watchers.pop(job.id, None)  # the next stage begins anew
        raise


def _draw_again(run: str, step: int) -> None:
    """Wake the stages that show an earlier snapshot, and forget those that are gone."""
    with _lock:
        behind = [stage for stage, shown in _watchers[run].items() if shown < step]
    for stage in behind:
        try:
            woken = stage.run_again()
        except (TimeoutError, RuntimeError, CancelledError):  # the server is busy, or ends
            continue
        with _lock:
            if woken is Woken.YES:
                _watchers[run][stage] = step
            elif woken is Woken.GONE:
                _watchers[run].pop(stage, None)
