"""The ledger: what training, evaluation and serving cost, by team, model and version."""
