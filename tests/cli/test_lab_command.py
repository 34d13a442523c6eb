"""``python -m dpm_core lab``: couplings from a file, chains, and signals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from dpm_core.cli.main import main
from dpm_core.lab import minimum_probability_flow, random_networks


def report(capsys, *args) -> dict:
    assert main(["lab", *args]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def spins(tmp_path):
    """2,000 samples of four spins, and their couplings."""
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    J = (J + J.T) / 2
    x = minimum_probability_flow.sample_ising(J, 2000, generator)
    np.savetxt(tmp_path / "spins.csv", x.numpy(), fmt="%d", delimiter=",")
    return tmp_path / "spins.csv", J.numpy()


def test_couplings_are_those_of_the_library_and_near_the_truth(spins, capsys, tmp_path):
    path, J = spins
    found = report(capsys, "couplings", str(path))
    assert found["rows"] == 2000 and np.abs(np.array(found["J"]) - J).max() < 0.5
    assert main(["lab", "couplings", str(path), "--method", "likelihood", "-o", str(tmp_path / "J.csv")]) == 0
    exact = np.loadtxt(tmp_path / "J.csv", delimiter=",")
    assert exact.shape == (4, 4) and np.abs(exact - np.array(found["J"])).max() < 0.2
    assert "J of 4 spins from 2,000 rows" in capsys.readouterr().out


def test_chains_report_what_a_gradient_is_worth(capsys, tmp_path):
    path = tmp_path / "states.npz"
    found = report(capsys, "chains", "-n", "20", "--gradients", "400", "--density", "gaussian_2", "-o", str(path))
    assert found["samples_per_gradient"] > 0 and found["gradients_per_step"] > 10
    assert np.load(path)["x"].shape[1:] == (20, 2)


def test_signals_are_those_of_the_theory(capsys):
    found = report(capsys, "signals", "--weights", "2.5")
    assert (found["q_star"], found["chi_1"]) == pytest.approx(random_networks.fixed_point("tanh", 2.5, 0.05))
    assert found["critical_sigma_w2"] == pytest.approx(1.761, abs=1e-3)
    assert report(capsys, "signals", "--weights", "0")["trainable_depth"] == 0
    assert report(capsys, "signals", "--activation", "relu", "--weights", "3")["q_star"] == "inf"


@pytest.mark.parametrize(
    "args, words",
    [
        (["couplings", "nowhere.csv"], "nowhere.csv"),
        (["chains", "-n", "1"], "at least 2 chains"),
        (["chains", "--step-size", "-1"], "must be positive"),
        (["chains", "--gradients", "inf"], "100 to 10,000,000 gradients"),
        (["chains", "--look-ahead", "200"], "at most 32 trajectories"),
        (["chains", "--leapfrog-steps", "1000", "--gradients", "100"], "for at least 10 steps"),
        (["signals", "--weights", "-1"], "must be at least 0"),
    ],
)
def test_wrong_arguments_are_answered_in_one_line(args, words, capsys):
    assert main(["lab", *args]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_data_that_are_not_bits_are_refused(tmp_path, capsys):
    (tmp_path / "x.csv").write_text("0.5,1\n2,3\n")
    assert main(["lab", "couplings", str(tmp_path / "x.csv")]) == 2
    assert "error:" in capsys.readouterr().err
