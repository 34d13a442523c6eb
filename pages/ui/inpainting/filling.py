"""Holes being filled in a thread of their own, one completion after the other, so that the page can watch and stop it. No Streamlit."""

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

from dpm_core.checkpoints import Checkpoint
from dpm_core.inpainting.model_filling import Progress, fill_by_model, neighbourhood
from dpm_core.inpainting.patch_filling import fill_by_patches
from dpm_core.jobs.threads import lower_priority
from pages.ui.inpainting.picture_network import Learning

BASELINE_PIXELS = 200_000  # of a hole, some seconds for the biharmonic equation
WINDOW = 7  # pixels of SSIM's window


@dataclass(frozen=True, eq=False)
class FillTask:
    """What is filled, and how. ``picture`` uint8 ``[H, W]`` or ``[H, W, 3]``, ``missing`` bool ``[H, W]``.

    Without a model by its own patches; by a ``model``, or by one that is ``learning`` the picture and is waited for first;
    by both where ``patches`` is set.
    """

    picture: np.ndarray
    missing: np.ndarray
    n: int
    seed: int
    model: Checkpoint | None = None
    options: dict = field(default_factory=dict)  # of fill_by_model
    learning: Learning | None = None
    patches: bool = False

    @property
    def by_patches(self) -> bool:
        """Whether completions are made one after the other, by patches, with or without a network's help."""
        return self.patches or (self.model is None and self.learning is None)

    def runs(self, model: Checkpoint | None) -> list[Callable[[], Iterator[Progress]]]:
        """How to begin every run: patches give one completion after the other, a network all at once."""
        if self.by_patches:
            return [partial(fill_by_patches, self.picture, self.missing, 1, self.seed + i, network=model) for i in range(self.n)]
        assert model is not None
        return [partial(fill_by_model, model, self.picture, self.missing, self.n, self.seed, **self.options)]


class Score(NamedTuple):
    """Against the truth: PSNR inside the hole in dB, SSIM of its neighbourhood."""

    psnr: float
    ssim: float


class Filling:
    """A task being worked on. Attributes may be read at any time; ``stop`` keeps what is finished."""

    def __init__(self, task: FillTask):
        self.task = task
        self.done: list[np.ndarray] = []
        self.latest: Progress | None = None  # of the completion being made
        self.calls, self.problem, self.seconds = 0, "", 0.0
        self.baseline: np.ndarray | None = None
        self.learning = task.learning is not None  # whether the network is still being waited for
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="filling", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether completions are still being made."""
        return self._thread.is_alive() and not self.problem and len(self.done) < self.task.n and not self._stop.is_set()

    @property
    def busy(self) -> bool:
        """Whether anything may still change, the baseline included."""
        return self._thread.is_alive()

    @property
    def share(self) -> float:
        """How much of the work is done."""
        latest = self.latest
        here = latest.share * (1 if self.task.by_patches else self.task.n) if latest else 0.0
        return min(1.0, (len(self.done) + here) / self.task.n)

    def stop(self) -> None:
        """End after the step that is being taken."""
        self._stop.set()

    def wait(self, seconds: float) -> bool:
        """Wait until all is done; whether it is."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        lower_priority()
        torch.set_num_threads(os.cpu_count() or 1)
        try:
            model, learning = self.task.model, self.task.learning
            if learning is not None:
                if not learning.wait(self._stop):
                    return
                model = learning.checkpoint()
            self.learning = False
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
        except (ValueError, RuntimeError, MemoryError) as error:  # the page says it in one sentence; what is done is kept
            known = isinstance(error, ValueError) or self.learning
            self.problem = str(error).splitlines()[0] if known and str(error) else f"Filling failed: {type(error).__name__}."


def biharmonic(picture: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """scikit-image's biharmonic inpainting, worked in the hole's neighbourhood; uint8 like the picture."""
    window, out = neighbourhood(missing), picture.copy()
    smooth = inpaint_biharmonic(picture[window] / 255, missing[window], channel_axis=-1 if picture.ndim == 3 else None)
    new = np.round(255 * smooth).clip(0, 255).astype(np.uint8)
    out[window][missing[window]] = new[missing[window]]
    return out


def score(truth: np.ndarray, found: np.ndarray, missing: np.ndarray) -> Score:
    """How near a completion is to the truth."""
    with np.errstate(divide="ignore"):  # infinite where nothing differs
        psnr = peak_signal_noise_ratio(truth[missing], found[missing], data_range=255)
    window = neighbourhood(missing)
    a, b = truth[window], found[window]
    side = min(WINDOW, min(a.shape[:2]) - 1 + min(a.shape[:2]) % 2)
    ssim = structural_similarity(a, b, win_size=side, channel_axis=-1 if a.ndim == 3 else None, data_range=255)
    return Score(float(psnr), float(ssim))
