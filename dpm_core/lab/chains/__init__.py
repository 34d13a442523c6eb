"""Markov chains: Hamiltonian Monte Carlo beside other samplers, densities to sample, and a current without detailed balance."""
