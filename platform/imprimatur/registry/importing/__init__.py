"""Coming from an MLflow of today: another server's or database's experiments, runs and versions, taken in once."""
