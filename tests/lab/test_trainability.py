"""Training over the diagram: the gradient against autograd, the same rows from the same seed, and what is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from dpm_core.lab.random_networks import ACTIVATIONS
from dpm_core.lab.signals import trainability
from dpm_core.lab.signals.trainability import Results, Row, Setting, as_json, digits, load, train, train_depth

SMALL = Setting(sigma_w2=(1.0, 2.0), depths=(2, 3), width=16, batch=8, rate=0.1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_step_follows_the_gradient_of_the_cross_entropy(name):
    """All weights and biases of all networks, by autograd."""
    setting = Setting(name, sigma_w2=(1.0, 2.0), depths=(3,), width=16, batch=8, rate=0.1)
    networks = trainability._Networks(setting, 3, torch.Generator().manual_seed(1))
    networks.w, networks.b = ([x.double().contiguous() for x in part] for part in (networks.w, networks.b))
    x, y = digits()[0][:8].double(), digits()[1][:8]
    w, b = ([p.clone().requires_grad_() for p in part] for part in (networks.w, networks.b))
    for i in range(2):
        h = x
        for k in range(len(w)):
            h = (ACTIVATIONS[name].function(h) if k else h) @ w[k][i] + b[k][i]
        torch.nn.functional.cross_entropy(h, y).backward()
    before = [p.detach().clone() for p in (*w, *b)]
    networks.step(x, y)
    for start, p, now in zip(before, (*w, *b), (*networks.w, *networks.b)):
        assert torch.allclose(now, start - 0.1 * p.grad, atol=1e-12)


def test_weights_have_their_variances():
    setting = Setting(sigma_w2=(1.0, 4.0), sigma_b2=0.3, depths=(4,), width=400)
    networks = trainability._Networks(setting, 4, torch.Generator().manual_seed(2))
    for i, sigma_w2 in enumerate((1.0, 4.0)):
        for w in networks.w[:-1]:
            assert float(w[i].var()) * w.shape[1] == pytest.approx(sigma_w2, rel=0.03)
    assert float(torch.cat([b[0].flatten() for b in networks.b]).var()) == pytest.approx(0.3, rel=0.15)
    assert len(networks.w) == 5 and networks.w[0].shape == (2, 64, 400) and networks.w[-1].shape == (2, 400, 10)


def test_digits_are_standardised_and_split():
    x, y = digits()
    assert x.shape == (1797, 64) and sorted(set(y.tolist())) == list(range(10))
    train_x = x[: trainability.TRAINING]
    assert float(train_x.square().mean()) == pytest.approx(1, abs=1e-5) and float(train_x.mean(0).abs().max()) < 1e-5


def test_training_is_deterministic_and_learns():
    rows = list(train(SMALL, 200))
    assert rows == list(train(SMALL, 200))
    final = [row for row in rows if row.held_out]
    assert [(row.depth, row.step) for row in final] == [(2, 200), (3, 200)]
    assert all(0.8 < a <= 1 for row in final for a in (*row.accuracy, *row.held_out))
    assert [row.step for row in rows if row.depth == 2] == list(range(25, 201, 25))


def test_longer_training_begins_in_the_same_way(monkeypatch):
    """A run of more steps also has the stage of the shorter one."""
    monkeypatch.setattr(trainability, "STAGES", (30, 60))
    short = [row for row in train_depth(SMALL, 2, 30) if row.held_out]
    long = [row for row in train_depth(SMALL, 2, 60) if row.held_out]
    assert long[0] == short[0] and long[1].step == 60


def test_deep_ordered_networks_learn_nothing():
    """24 layers at σ_w² = 0.5: 6 ξ_c is 5 layers."""
    setting = Setting(sigma_w2=(0.5, 1.76), depths=(24,), width=50)
    (row,) = [row for row in train(setting, 200) if row.held_out]
    assert row.accuracy[0] < 0.3 < 0.6 < row.accuracy[1]


def test_what_is_stored_comes_back(tmp_path):
    results = Results()
    assert results.add(Row(2, 200, (0.5, 0.9), (0.4, 0.8))) and not results.add(Row(3, 25, (0.5, 0.9)))
    (tmp_path / SMALL.name).write_bytes(as_json(SMALL, results))
    found = load(tmp_path, SMALL)
    assert found.rows == results.rows and found.missing(SMALL, 200) == [3] and found.missing(SMALL, 500) == [2, 3]
    assert not load(tmp_path, Setting()).rows


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored["setting"].update(rate=1),
        lambda stored: stored["rows"][0].update(accuracy=[0.5]),
        lambda stored: stored["rows"][0].update(accuracy=[0.5, 2]),
        lambda stored: stored["rows"][0].update(accuracy=[0.5, float("nan")]),
        lambda stored: stored["rows"][0].update(depth=7),
        lambda stored: stored.update(rows="x"),
        lambda stored: stored.pop("rows"),
    ],
)
def test_a_damaged_file_counts_as_missing(tmp_path, change):
    results = Results({(2, 200): Row(2, 200, (0.5, 0.9), (0.4, 0.8))})
    stored = json.loads(as_json(SMALL, results))
    change(stored)
    (tmp_path / SMALL.name).write_text(json.dumps(stored))
    assert not load(tmp_path, SMALL).rows
    (tmp_path / SMALL.name).write_bytes(as_json(SMALL, results)[:40])
    assert not load(tmp_path, SMALL).rows


def test_names_tell_settings_apart():
    assert len({Setting(seed=i).name for i in range(3)} | {Setting(sigma_b2=0.1).name, Setting("relu").name}) == 5
    assert np.allclose(np.diff(np.log(trainability.DEPTHS)), np.log(20) / 7, atol=0.1)


@pytest.mark.parametrize("wrong", [{"activation": "sine"}, {"depths": ()}, {"sigma_w2": (0.0,)}, {"sigma_b2": -1.0}])
def test_a_wrong_setting_is_named(wrong):
    with pytest.raises(ValueError, match=r"\.$"):
        Setting(**wrong)
