"""``dpm-explorer [options of streamlit run]``, or ``python -m dpm_explorer``: open the app in a browser, from any directory."""

from __future__ import annotations

import sys
from pathlib import Path


def app_path() -> Path:
    """Path of app.py: beside this module in a wheel, one folder above in a checkout.

    Streamlit adds the folder of app.py to the import path, so that ``pages`` is found in both places, and reads
    ``.streamlit/config.toml`` (theme, upload limit) from that folder. Raises FileNotFoundError when the app is in neither place.
    """
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent):
        if (folder / "app.py").is_file() and (folder / "pages").is_dir():
            return folder / "app.py"
    raise FileNotFoundError(f"app.py and pages/ are neither in {here} nor in {here.parent}; install the package again.")


def main() -> None:
    """Run ``streamlit run app.py`` with the arguments of this command, for example ``--server.port 8600``. Does not return."""
    from streamlit.web import cli

    cli.main(["run", str(app_path()), *sys.argv[1:]], prog_name="dpm-explorer")


if __name__ == "__main__":
    main()
