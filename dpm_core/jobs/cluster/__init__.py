"""A run as an actor of a Ray cluster."""

import os

os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a lost connection must not start a cluster of its own on this machine
