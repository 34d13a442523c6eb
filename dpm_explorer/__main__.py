"""``dpm-explorer [options of streamlit run]``, or ``python -m dpm_explorer``: open the app in a browser, from any directory."""

from __future__ import annotations

import os
import secrets
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
    """Run ``streamlit run app.py`` with the arguments of this command, for example ``--server.port 8600``. Does not return.

    With DPM_ROLE=lecture the secret of the lecturer's link is printed first, unless $DPM_LECTURER names one.
    """
    from streamlit.web import cli

    if os.environ.get("DPM_ROLE") == "lecture" and not os.environ.get("DPM_LECTURER"):
        os.environ["DPM_LECTURER"] = secrets.token_urlsafe(16)
        print(f"\n  The lecturer opens the app with this at the end of its address: ?lecturer={os.environ['DPM_LECTURER']}", flush=True)
    cli.main(["run", str(app_path()), *sys.argv[1:]], prog_name="dpm-explorer")


if __name__ == "__main__":
    main()
