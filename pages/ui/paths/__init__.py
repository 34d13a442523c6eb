"""The Paths page: flow matching and its paths."""
