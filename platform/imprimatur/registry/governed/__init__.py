"""MLflow inside our application: its store under our law, its routes behind an allow-list."""

from imprimatur.registry.governed.app import mlflow_app

__all__ = ["mlflow_app"]
