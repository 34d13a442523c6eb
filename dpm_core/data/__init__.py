"""Data sets. Each knows how to sample itself and, where possible, its own density."""
