"""Benchmarks: ``python -m benchmarks.<name>`` measures ratios to a peer or a limit within one run."""
