"""The Hamiltonian Monte Carlo page: sampling without detailed balance."""
