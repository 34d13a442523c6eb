"""Makes worker processes quickly: it has imported everything that a worker needs, and forks one for each request.

It reads requests, one line of JSON each, from its standard input, and ends when the program that started it does. Its workers do not.
"""

from __future__ import annotations

import json
import os
import signal
import sys


def main() -> None:
    """Load everything, then fork a worker for each line of the standard input."""
    from dpm_core.jobs.process import server

    _load_everything()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, meant for the program
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system buries the workers
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become_worker()
            try:
                server.serve(json.loads(line))
            finally:
                os._exit(0)


def _load_everything() -> None:
    """Make a trainer and data, and throw them away: PyTorch imports half of itself, and sympy, with the first optimiser, and the
    data bring scikit-learn and scikit-image.

    Nothing may be differentiated here, and no second thread started: a forked process would inherit neither in a usable state.
    """
    import torch

    from dpm_core.data.images import make_images
    from dpm_core.jobs.config import JobConfig
    from dpm_core.jobs.thread.run_context import make_run_context

    torch.set_num_threads(1)
    make_images("digits")
    make_run_context(JobConfig("none"), torch.zeros(1000, 2), torch.zeros(2, 2))


def _become_worker() -> None:
    """Leave the terminal and the pipes of the program."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


if __name__ == "__main__":
    main()
