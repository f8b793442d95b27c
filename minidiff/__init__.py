"""Stable Diffusion in small parts, each built and trained in a lesson of the course: see README.md for the map."""
