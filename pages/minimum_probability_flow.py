"""Minimum probability flow: learning the couplings of an Ising model without a partition function."""

from pages.ui import page

page.open_page("minimum_probability_flow")

from pages.ui.components.export_row import export_row
from pages.ui.lab.ising import views

with page.stop_on_error(ValueError):
    export = views.show()
export_row(*export)
