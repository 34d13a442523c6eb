"""The Relatives page: a variational autoencoder beside a diffusion model."""
