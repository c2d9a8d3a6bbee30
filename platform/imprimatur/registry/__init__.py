"""Models and versions: MLflow's registry, governed; the pipeline flavor, admission, sealing, lineage."""
