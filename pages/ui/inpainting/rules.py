"""How known values enter the reverse steps."""

from __future__ import annotations

RULE_TITLES = {"noised": "Noised to level t", "clean": "Noise-free (the paper's code)", "repaint": "RePaint"}
RULE_HELP = (
    "At every reverse step the known values are set: with noise of level t, without noise, or with noise and repeated jumps back up the "
    "chain (RePaint, Lugmayr et al. 2022)."
)
