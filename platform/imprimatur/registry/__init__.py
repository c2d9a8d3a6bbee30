"""Models and versions: MLflow's registry, governed; the pipeline flavor, admission, sealing, lineage."""

from imprimatur.registry import environment as environment  # before anything here imports MLflow
