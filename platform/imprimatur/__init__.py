"""Imprimatur: a governed registry for generative models, built on MLflow."""

__version__ = "0.1.0"
