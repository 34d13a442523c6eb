"""Minimum probability flow: Ising models and estimators of their couplings, three states, and continuous data."""
