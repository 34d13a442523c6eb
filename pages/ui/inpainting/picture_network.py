"""A network that is trained on one picture while a page shows its progress. Nothing here imports Streamlit."""

from __future__ import annotations

import tempfile
import threading
import uuid
from functools import cache
from pathlib import Path

import numpy as np
import torch

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.data.images import ImageDataset
from dpm_core.inpainting.picture_network import checkpoint_of_job, crop_run_config, known_crops

SAMPLES = 8  # crops in every snapshot
POLL = 0.1  # seconds


class PictureNetwork:
    """A network trained on the known part of a picture for a number of seconds; ``before`` continues an earlier training.

    Attributes may be read at any time. Raises InpaintingError where there is too little to learn from, JobError.
    """

    def __init__(self, picture: np.ndarray, missing: np.ndarray, seconds: float, seed: int, before: PictureNetwork | None = None):
        self.picture, self.missing = picture.copy(), missing.copy()
        self.dataset: ImageDataset = known_crops(picture, missing, seed) if before is None else before.dataset
        self.seconds, self._earlier = seconds, 0.0 if before is None else before.spent
        name = f"picture-{uuid.uuid4().hex[:8]}"
        device = "cuda" if torch.cuda.is_available() else "cpu"
        stop = jobs.Stop(seconds=max(1.0, seconds - self._earlier))
        config = jobs.JobConfig(name, crop_run_config(self.dataset, seed), stop, device, snapshot_samples=SAMPLES)
        held_out = self.dataset.sample_held_out(256)
        self.job = jobs.start(
            config, self.dataset, held_out, _folder(), before.checkpoint() if before else None, engine=jobs.local_engine()
        )

    @property
    def spent(self) -> float:
        """Seconds of training so far, in all."""
        return self._earlier + self.job.progress.seconds

    def checkpoint(self) -> Checkpoint:
        """The network as it is now."""
        return checkpoint_of_job(self.job, self.dataset)

    def can_fill(self, picture: np.ndarray, missing: np.ndarray) -> bool:
        """Whether it may fill this hole: it was trained on the same picture, and on none of the missing pixels."""
        same = picture.shape == self.picture.shape and not (missing & ~self.missing).any()
        return same and np.array_equal(picture[~self.missing], self.picture[~self.missing])

    def samples(self) -> np.ndarray | None:
        """The crops of its last snapshot side by side, uint8 ``[side, SAMPLES · side]``, or in colour; None before the first."""
        if (latest := self.job.latest()) is None:
            return None
        cuts = self.dataset.pixels(torch.from_numpy(latest.frames[-1])).permute(0, 2, 3, 1).numpy()
        strip = np.concatenate(list(cuts), 1)
        return strip[..., 0] if strip.shape[2] == 1 else strip

    def wait(self, stop: threading.Event) -> bool:
        """Wait until training ends, or ``stop`` is set; whether any step was done. A paused run is resumed."""
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
    """Where these runs are stored while the program runs: each is for one hole, so they are not in the list of runs."""
    folder = tempfile.TemporaryDirectory(prefix="dpm-explorer-", ignore_cleanup_errors=True)
    _folders.append(folder)
    return Path(folder.name)


_folders: list[tempfile.TemporaryDirectory] = []  # removed when the program ends
