"""Diffusion probabilistic models (Sohl-Dickstein et al. 2015): the science behind DPM Explorer.

Importing this package never imports Streamlit. Equations are cited from arXiv:1503.03585v8.
"""

__version__ = "0.1.0"
