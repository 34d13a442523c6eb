"""The command line: ``python -m dpm_core``."""
