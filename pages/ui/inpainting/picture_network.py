"""A network that learns one picture while a page looks on, and what it is afterwards. No Streamlit."""

from __future__ import annotations

import tempfile
import uuid
from functools import cache
from pathlib import Path

import numpy as np
import torch

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.inpainting.picture_network import checkpoint_of_job, known_crops, crop_run_config

WATCHED = 8  # cuts that it draws now and then
POLL = 0.1  # seconds


class Learning:
    """A picture without its hole, learned for so many seconds; ``before`` goes on from what was learned of it already.

    Attributes may be read at any time. Raises InpaintingError where there is too little to learn from, JobError.
    """

    def __init__(self, picture: np.ndarray, missing: np.ndarray, seconds: float, seed: int, before: Learning | None = None):
        self.picture, self.missing = picture.copy(), missing.copy()
        self.dataset = known_crops(picture, missing, seed) if before is None else before.dataset
        self.seconds, self._earlier = seconds, 0.0 if before is None else before.spent
        name = f"picture-{uuid.uuid4().hex[:8]}"
        device = "cuda" if torch.cuda.is_available() else "cpu"
        stop = jobs.Stop(seconds=max(1.0, seconds - self._earlier))
        config = jobs.JobConfig(name, crop_run_config(self.dataset, seed), stop, device, watch=WATCHED)
        held_out = self.dataset.sample_held_out(256)
        self.job = jobs.start(config, self.dataset, held_out, _folder(), before.checkpoint() if before else None)

    @property
    def spent(self) -> float:
        """Seconds of training so far, all in all."""
        return self._earlier + self.job.progress.seconds

    def checkpoint(self) -> Checkpoint:
        """The network as it is by now."""
        return checkpoint_of_job(self.job, self.dataset)

    def knows(self, picture: np.ndarray, missing: np.ndarray) -> bool:
        """Whether it may fill this hole: it is of the same picture, and has seen nothing of what is missing."""
        same = picture.shape == self.picture.shape and not (missing & ~self.missing).any()
        return same and np.array_equal(picture[~self.missing], self.picture[~self.missing])

    def drawn(self) -> np.ndarray | None:
        """The cuts that it drew last, side by side, uint8 ``[side, WATCHED · side]`` or with colours; none before the first."""
        if (latest := self.job.latest()) is None:
            return None
        cuts = self.dataset.pixels(torch.from_numpy(latest.frames[-1])).permute(0, 2, 3, 1).numpy()
        strip = np.concatenate(list(cuts), 1)
        return strip[..., 0] if strip.shape[2] == 1 else strip

    def wait(self, stop) -> bool:
        """Until it has learned, or ``stop``, a threading.Event, is set; whether it has learned anything. A run that fell asleep goes on."""
        while self.job.status in ("queued", "running", "paused"):
            if stop.wait(POLL):
                self.job.stop()
                return False
            self.job.keep_alive()
            if self.job.status == "paused":
                self.job.resume()
        if self.job.status == "failed":
            raise RuntimeError(self.job.message)
        return self.job.step > 0


@cache
def _folder() -> Path:
    """Where these runs are kept while the program lives: they are of one hole, not for the list of runs."""
    folder = tempfile.TemporaryDirectory(prefix="dpm-explorer-", ignore_cleanup_errors=True)
    _kept.append(folder)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory] = []  # removed with the program
