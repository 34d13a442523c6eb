"""Runs on disk: the folder of one run, its metrics log, the list of all runs, and atomic files. Safetensors and JSON only."""
