"""Charts and pictures: arrays in, pictures out. Nothing here imports torch."""
