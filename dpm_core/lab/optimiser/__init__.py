"""The sum-of-functions optimiser: its parts, and its comparison with others."""
