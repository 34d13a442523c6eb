"""Guided tour: the stops of a lecture with their notes; start it, or load and download a tour."""

from pages.ui import page

page.open_page("tour", computes=False)

from pages.ui.lecture import tour_bar, tour_view

running = tour_bar.chosen()
tour_view.buttons(running)
tour_view.stops(running)
