"""The Continuous page: many small steps as a differential equation."""
