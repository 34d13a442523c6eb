"""Memory: the exact kernel of N points, which only remembers, beside a network; for images, the local kernel beside a U-Net."""

import streamlit as st

from pages.ui import page

page.open_page("memory")

from dpm_core.checkpoints import CheckpointError
from dpm_core.data.errors import DataError
from dpm_core.schedules import ScheduleError
from pages.ui.components.export_row import export_row
from pages.ui.controls import widgets
from pages.ui.memory import image_views, views

PARTS = {"points": "Points in the plane", "images": "Images"}
SHOW = {"points": views.show, "images": image_views.show}

with page.stop_on_error(CheckpointError, DataError, ScheduleError, OSError):
    with st.sidebar:
        part = widgets.choose("Kind of data", PARTS, "memory_kind")
    export = SHOW[part]()
export_row(*export)
