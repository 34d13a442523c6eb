"""The Lab page: how the four neighbours of diffusion belong together."""
