"""Neighbours of diffusion models: methods of the same authors that learn, sample or analyse by flows of probability.

Minimum probability flow learns without a partition function, look-ahead Hamiltonian Monte Carlo samples without detailed balance, and the
mean field theory of random networks says which depths can be trained. Each module stands alone.
"""
