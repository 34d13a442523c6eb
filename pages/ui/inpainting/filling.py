"""Filling a hole in a thread of its own, so that the page can show progress and stop it. Nothing here imports Streamlit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from skimage.restoration import inpaint_biharmonic

from dpm_core import jobs
from dpm_core.checkpoints import Checkpoint
from dpm_core.inpainting.model_filling import Progress, fill_by_model, neighbourhood
from dpm_core.inpainting.patch_filling import fill_by_patches
from dpm_core.jobs.thread.threads import lower_priority
from pages.ui.inpainting.picture_network import PictureNetwork

BASELINE_PIXELS = 200_000  # of a hole, some seconds for the biharmonic equation
WINDOW = 7  # pixels of SSIM's window


@dataclass(frozen=True, eq=False)
class FillTask:
    """What to fill, and how. ``picture`` uint8 ``[H, W]`` or ``[H, W, 3]``, ``missing`` bool ``[H, W]``.

    By the picture's own patches without a model; by a ``model``; by a ``network`` that is first trained on the picture; by patches
    and network where ``patches`` is set.
    """

    picture: np.ndarray
    missing: np.ndarray
    n: int
    seed: int
    model: Checkpoint | None = None
    options: dict = field(default_factory=dict)  # of fill_by_model
    network: PictureNetwork | None = None
    patches: bool = False

    @property
    def by_patches(self) -> bool:
        """Whether completions are made one after the other, by patches, with or without a network."""
        return self.patches or (self.model is None and self.network is None)

    def runs(self, model: Checkpoint | None) -> list[Callable[[], Iterator[Progress]]]:
        """The runs to make: one for each completion by patches, one for all completions by a network."""
        if self.by_patches:
            one = partial(fill_by_patches, network=model)
            return [partial(jobs.stream, one, self.picture, self.missing, 1, self.seed + i) for i in range(self.n)]
        assert model is not None, "a task without patches has a model, or a network from which the model comes"
        return [partial(jobs.stream, partial(fill_by_model, **self.options), model, self.picture, self.missing, self.n, self.seed)]


class Score(NamedTuple):
    """Compared with the original: PSNR inside the hole in dB, SSIM of its neighbourhood."""

    psnr: float
    ssim: float


class Filling:
    """A task in progress. Attributes may be read at any time; ``stop`` keeps the finished completions."""

    def __init__(self, task: FillTask):
        self.task = task
        self.done: list[np.ndarray] = []
        self.latest: Progress | None = None  # of the completion being made
        self.calls, self.problem, self.seconds = 0, "", 0.0
        self.baseline: np.ndarray | None = None
        self.training = task.network is not None  # whether the network is still being trained
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="filling", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether completions are still being made."""
        return self._thread.is_alive() and not self.problem and len(self.done) < self.task.n and not self._stop.is_set()

    @property
    def busy(self) -> bool:
        """Whether anything may still change, including the baseline."""
        return self._thread.is_alive()

    @property
    def share(self) -> float:
        """The share of the work that is done."""
        latest = self.latest
        here = latest.share * (1 if self.task.by_patches else self.task.n) if latest else 0.0
        return min(1.0, (len(self.done) + here) / self.task.n)

    def stop(self) -> None:
        """Stop after the current step."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait for at most so many seconds; whether all is done."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        lower_priority()
        torch.set_num_threads(os.cpu_count() or 1)
        try:
            model, network = self.task.model, self.task.network
            if network is not None:
                if not network.wait(self._stop):
                    return
                model = network.checkpoint()
            self.training = False
            for begin in self.task.runs(model):
                before = self.calls
                for progress in begin():
                    if self._stop.is_set():
                        return
                    self.calls, self.latest = before + progress.calls, progress
                self.latest = None
                self.done += list(progress.guess)
            if int(self.task.missing.sum()) <= BASELINE_PIXELS and not self._stop.is_set():
                self.baseline = biharmonic(self.task.picture, self.task.missing)
        except (ValueError, RuntimeError, MemoryError) as error:  # shown in one sentence; finished completions are kept
            known = isinstance(error, ValueError) or self.training
            self.problem = str(error).splitlines()[0] if known and str(error) else f"Filling failed: {type(error).__name__}."


def biharmonic(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """scikit-image's biharmonic inpainting, computed in the neighbourhood of the hole; uint8 like the picture."""
    window, out = neighbourhood(missing), picture.copy()
    smooth = inpaint_biharmonic(picture[window] / 255, missing[window], channel_axis=-1 if picture.ndim == 3 else None)
    new = np.round(255 * smooth).clip(0, 255).astype(np.uint8)
    out[window][missing[window]] = new[missing[window]]
    return out


def score(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> Score:
    """How close a completion is to the original."""
    with np.errstate(divide="ignore"):  # infinite where nothing differs
        psnr = peak_signal_noise_ratio(truth[missing], found[missing], data_range=255)
    window = neighbourhood(missing)
    a, b = truth[window], found[window]
    side = min(WINDOW, min(a.shape[:2]) - 1 + min(a.shape[:2]) % 2)
    ssim = structural_similarity(a, b, win_size=side, channel_axis=-1 if a.ndim == 3 else None, data_range=255)
    return Score(float(psnr), float(ssim))
