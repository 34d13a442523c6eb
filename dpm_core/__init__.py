"""Diffusion probabilistic models (Sohl-Dickstein et al. 2015): the science behind DPM Explorer.

Importing this package never imports Streamlit. Equations are cited from arXiv:1503.03585v8.
"""

import os

# Threads that wait for each other sleep instead of spinning: on a machine that has other work too (a browser, a second
# job) spinning takes the very cores that the awaited threads need. Read once, when torch is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
