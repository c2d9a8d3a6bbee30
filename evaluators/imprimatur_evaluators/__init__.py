"""Scores for image diffusion models: the right protocol, an interval on every number. Usable without the platform."""
