"""Streamlit looks here when the first visit to a fresh server goes to /bound, before app.py has named its pages."""

import runpy
from pathlib import Path

runpy.run_path(str(Path(__file__).parent.parent / "app.py"))
