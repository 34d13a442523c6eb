"""Views of the Start page."""
