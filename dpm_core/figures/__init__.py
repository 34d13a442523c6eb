"""Figures: arrays in, charts and pictures out. Free of torch and Streamlit."""
