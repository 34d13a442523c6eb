"""Ising models: bits and spins describe the same model, topologies have their bonds, Gibbs chains have the moments of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dpm_core.lab.flow.ising_models import (
    FIELD,
    TOPOLOGIES,
    all_states,
    ising_energy,
    make_ising,
    sample_by_chains,
    sample_ising,
    sides,
    to_bits,
    to_spins,
)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_bits_and_spins_are_the_same_model(topology):
    """All energies differ by one constant, to 1e-12, and the conversion has an inverse."""
    model = make_ising(topology, 8, 1.3, seed=3)
    x = all_states(8)
    s = 2 * x - 1
    physics = -((s @ model.couplings) * s).sum(1) / 2 - s @ model.fields
    difference = ising_energy(model.J, x) - physics
    assert float(difference.max() - difference.min()) < 1e-12
    couplings, fields = to_spins(model.J)
    assert torch.allclose(couplings, model.couplings, atol=1e-14) and torch.allclose(fields, model.fields, atol=1e-14)
    assert torch.allclose(to_bits(couplings, fields), model.J, atol=1e-14)


def test_topologies_have_their_bonds():
    lattice, equal = make_ising("lattice", 16, 2.0, seed=1), make_ising("ferromagnet", 16, 2.0)
    assert ((lattice.couplings != 0).sum(1) == 4).all(), "four neighbours on a periodic lattice"
    assert torch.equal(equal.couplings != 0, lattice.couplings != 0) and equal.couplings.unique().tolist() == [0, 0.5]
    full = make_ising("full", 100, 1.0)
    above = full.couplings[tuple(torch.triu_indices(100, 100, 1))]
    assert float(above.std()) == pytest.approx(0.1, rel=0.05), "variance 1/d"
    sparse = make_ising("sparse", 100, 1.0)
    assert float((sparse.couplings != 0).sum(1).double().mean()) == pytest.approx(3, abs=0.6)
    for model in (lattice, equal, full, sparse):
        assert torch.equal(model.couplings, model.couplings.T) and not model.couplings.diagonal().any()
        assert float(model.fields.abs().max()) < 5 * FIELD and model.places.shape == (len(model.fields), 2)
    assert torch.allclose(make_ising("full", 9, 1.0).couplings, 2.5 * make_ising("full", 9, 2.5).couplings)
    assert sides(12) == (3, 4) and sides(7) == (1, 7)


def test_states_are_listed_once():
    x = all_states(5)
    assert x[:3].tolist() == [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0]] and len(torch.unique(x, dim=0)) == 32


def test_chains_have_the_moments_of_the_model():
    """Four independent groups of six spins, of which all states are known: means and products of pairs to five standard errors."""
    small = make_ising("full", 6, 0.8, seed=2).J
    small[0, 0] += 0.7
    states = all_states(6)
    p = torch.softmax(-ising_energy(small, states), 0)
    mean, second = p @ states, states.T @ (p[:, None] * states)
    wide = torch.block_diag(*[small] * 4)
    for x in (
        sample_by_chains(wide, 6000, seed=1, chains=1500, burn_in=60),
        sample_ising(wide, 4000, torch.Generator().manual_seed(3), 60),
    ):
        rows = x.view(-1, 6)
        assert set(np.unique(x)) == {0.0, 1.0}
        assert float((rows.mean(0) - mean).abs().max()) < 5 * 0.5 / 16000**0.5
        assert float((rows.T @ rows / len(rows) - second).abs().max()) < 5 * 0.5 / 16000**0.5


@pytest.mark.parametrize(
    "question, words",
    [(("ring", 9, 1.0), "topology is 'ring'"), (("full", 1, 1.0), "has 1 spins"), (("full", 9, 0.0), "temperature is 0")],
)
def test_a_model_that_cannot_be_made_is_said_in_a_sentence(question, words):
    with pytest.raises(ValueError, match=words):
        make_ising(*question)
