"""Signals in random networks: simulation, the phase diagram, and training over it."""
