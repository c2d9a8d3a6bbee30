"""Evaluation runs: a sealed version, a suite, and the scores and evidence that came of it."""
