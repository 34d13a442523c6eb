"""Measure a model: the bound K and its budget, log-likelihood estimates, densities by quadrature, distances between samples."""
