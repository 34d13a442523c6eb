"""The two runs of the Relatives page. They are stored on disk, so a pair that was trained before opens at once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.config import to_json
from dpm_core.relatives import VAE
from dpm_core.reverse import ReverseModel
from pages.ui import cache, rights
from pages.ui.kinds.runs import ALIVE
from pages.ui.relatives.question import Question

FOLDER = "relatives"  # below that of the other runs, which the Train page lists
ENDED = ("finished", "stopped")


class Pair:
    """A diffusion model and a VAE in training, or trained, by their names "diffusion" and "vae"."""

    def __init__(self, question: Question, runs: dict[str, jobs.Job]):
        self.question, self.jobs = question, runs

    @property
    def alive(self) -> bool:
        """Whether one of them still trains."""
        return any(job.status in ALIVE or not job.done for job in self.jobs.values())

    @property
    def failure(self) -> str:
        """Why one of them failed; empty otherwise."""
        return next((job.message for job in self.jobs.values() if job.status == "failed"), "")

    def keep_alive(self) -> None:
        """Both are still wanted; a paused one goes on."""
        for job in self.jobs.values():
            job.keep_alive()
            if job.status == "paused":
                job.resume()

    def stop(self) -> None:
        """End both now; what they have learned remains."""
        for job in self.jobs.values():
            job.stop()

    def diffusion(self) -> ReverseModel:
        """The diffusion model with the averaged weights."""
        return self.jobs["diffusion"].weights()

    def vae(self) -> VAE:
        """The autoencoder with the averaged weights."""
        return self.jobs["vae"].weights()


@st.cache_resource(show_spinner=False)
def _pairs() -> dict[Question, Pair]:
    """Every pair of this process."""
    return {}


def current(question: Question) -> Pair | None:
    """The pair that the controls describe: in training, trained, or opened from disk; None if it has never been trained."""
    found = _pairs()
    if question not in found and all(_stored(question, name) for name in question.runs()):
        found[question] = Pair(question, {name: _start(question, name) for name in question.runs()})
    return found.get(question)


def start(question: Question) -> None:
    """Train both, at the same time. Raises NotAllowed, JobError."""
    rights.check_start()
    runs = {name: _start(question, name) for name in question.runs()}
    for job in runs.values():
        rights.claim(job.folder)
    _pairs()[question] = Pair(question, runs)


def _start(question: Question, name: str) -> jobs.Job:
    """A run, or what is left of one that was interrupted."""
    data = {"dataset": question.kind.dataset(question.source), "held_out": question.kind.held_out(question.source)}
    engine, config = jobs.local_engine(), _config(question, name)
    if _stored(question, name):
        return jobs.resume_run(_root() / config.name, **data, engine=engine)
    return jobs.start(config, **data, root=_root(), engine=engine)


def _config(question: Question, name: str) -> jobs.JobConfig:
    """The job of one method; its name says everything that determines it."""
    run = question.runs()[name]
    digest = hashlib.blake2b(f"{to_json(run)} {question.seconds} {question.source!r}".encode(), digest_size=6).hexdigest()
    device = "cuda" if torch.cuda.is_available() and question.kind.training.prefers_gpu else "cpu"
    samples = question.kind.watched_samples(question.source)
    steps = min(question.kind.training.sample_steps, run.schedule.T)
    return jobs.JobConfig(f"{name}-{digest}", run, jobs.Stop(seconds=question.seconds), device, False, samples, steps, 1)


def _stored(question: Question, name: str) -> bool:
    """Whether a run with exactly this description is on disk."""
    config = _config(question, name)
    return any(info.name == config.name and info.config == config for info in _on_disk())


def _on_disk() -> list[Any]:
    return jobs.runs(_root())


def _root() -> Path:
    return jobs.runs_folder() / FOLDER


@st.cache_resource(max_entries=8, show_spinner=False)
def once(question: Question, what: str) -> cache.Once[Any]:
    """What is computed of a trained pair, once; ``what`` says which part."""
    return cache.Once()
