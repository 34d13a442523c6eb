"""The pages of the Lab: neighbours of diffusion models by the same authors."""
