"""The exercises of lesson 08, latent diffusion."""
