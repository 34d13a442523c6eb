"""``python -m dpm_core``: the command line of :mod:`dpm_core.cli.main`."""

from dpm_core.cli.main import leave, main

if __name__ == "__main__":
    leave(main())
