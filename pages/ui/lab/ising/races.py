"""The estimators of the couplings, each run once for a model and its samples, and what the page shows of their errors over seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.lab.flow.ising_estimators import ESTIMATORS, Estimate, estimates, estimates_in_a_new_process, tap
from dpm_core.lab.flow.ising_models import IsingModel, make_ising, sample_by_chains, to_spins
from pages.ui.lab.ising.question import CD_LIMIT, LIMIT, CouplingsQuestion

FRAMES = 48  # of the animation, at equal steps of log time
SHORT, REPEATS = 0.1, 2  # seconds below which a search is run again so many times, and the fastest is shown
FAR = 5  # times the largest coupling
CHECKPOINTS = (0.01, 0.05, 0.2, 1.0, 5.0)  # seconds after which the errors are compared


class Race(NamedTuple):
    """What one estimator found: seconds ``[F]``, couplings of the pairs ``[F, P]``, fields ``[F, d]``, or the sentence why nothing."""

    seconds: np.ndarray
    pairs: np.ndarray
    fields: np.ndarray
    problem: str = ""


@st.cache_resource(max_entries=8, show_spinner=False)
def data(question: CouplingsQuestion) -> tuple[IsingModel, torch.Tensor]:
    """The model and its samples. Raises ValueError."""
    model = make_ising(question.topology, question.d, question.temperature, question.seed)
    return model, sample_by_chains(model.J, question.n, seed=question.seed + 1)


@st.cache_resource(max_entries=8, show_spinner=False)
def _found(question: CouplingsQuestion) -> dict[str, Race]:
    """The races that have been run: filled by :func:`run`, so that a further estimator costs its own time alone."""
    return {}


def missing(question: CouplingsQuestion, names: list[str]) -> list[str]:
    """The estimators that have not been run."""
    return [name for name in names if name not in _found(question)]


def found(question: CouplingsQuestion, names: list[str]) -> dict[str, Race]:
    """The races that have been run, of these."""
    return {name: _found(question)[name] for name in names if name in _found(question)}


def run(question: CouplingsQuestion, name: str, progress: Callable[[int], None] | None = None) -> None:
    """Run one estimator; ``progress`` is told the number of estimates. Heavy ones run in a process of their own."""
    x = data(question)[1]
    seconds = LIMIT if name != "contrastive" else CD_LIMIT[question.d <= 20]
    reports, problem = list[Estimate](), ""
    try:
        asked = (name, x, seconds, question.seed)
        for report in jobs.stream(estimates_in_a_new_process, *asked) if question.heavy else estimates(*asked):
            reports.append(report)
            if progress is not None:
                progress(len(reports))
        for _ in range(REPEATS if reports[-1].seconds < SHORT else 0):  # other work of the machine makes short times longer
            again = list(estimates(*asked))
            reports = min(reports, again, key=lambda run: run[-1].seconds)
    except ValueError as error:
        problem = str(error)
    d = question.d
    above = np.triu_indices(d, 1)
    spins = [to_spins(report.J) for report in reports]
    _found(question)[name] = Race(
        np.array([report.seconds for report in reports]),
        np.array([couplings.numpy()[above] for couplings, _ in spins], np.float32).reshape(-1, len(above[0])),
        np.array([fields.numpy() for _, fields in spins], np.float32).reshape(-1, d),
        problem,
    )


def true_pairs(question: CouplingsQuestion) -> np.ndarray:
    """The couplings of the pairs, ``[P]``."""
    return data(question)[0].couplings.numpy()[np.triu_indices(question.d, 1)]


def errors(question: CouplingsQuestion, race: Race) -> np.ndarray:
    """Root mean square error of the couplings at every report, ``[F]``."""
    return np.sqrt(np.square(race.pairs - true_pairs(question)).mean(1))


def after(question: CouplingsQuestion, race: Race, seconds: float) -> float | None:
    """The error after so many seconds; None before the first report."""
    at = int(np.searchsorted(race.seconds, seconds, side="right")) - 1
    return float(errors(question, race)[at]) if at >= 0 else None


def milliseconds(races: dict[str, Race]) -> list[int]:
    """The times of the animation: whole milliseconds, nearly equal steps of log time, from 1 to the last report."""
    last = max([float(race.seconds[-1]) for race in races.values() if len(race.seconds)], default=0.001)
    return sorted({round(t) for t in np.geomspace(1, max(2.0, 1000 * last + 1), FRAMES)})


def at_times(race: Race, times: list[int]) -> np.ndarray:
    """The couplings at each time in milliseconds, ``[T, P]``: those last reported; 0, where the search starts, before the first."""
    at = np.searchsorted(race.seconds, np.array(times) / 1000, side="right") - 1
    return np.where((at >= 0)[:, None], race.pairs[np.maximum(at, 0)], 0.0)


def tap_without_solution(question: CouplingsQuestion) -> int:
    """For how many pairs the TAP equation has no real solution."""
    s = 2 * data(question)[1] - 1
    try:
        return tap(s.mean(0), torch.cov(s.T, correction=0))[2]
    except ValueError:
        return 0


def far_away(question: CouplingsQuestion, found: dict[str, Race]) -> list[str]:
    """The estimators whose estimates end far outside the range of the true couplings: their objective has its minimum far away."""
    most = FAR * float(np.abs(true_pairs(question)).max())
    return [name for name, race in found.items() if len(race.pairs) and float(np.abs(race.pairs[-1]).max()) > most]


def title(name: str) -> str:
    """The name of an estimator on the page."""
    return ESTIMATORS[name].title
