"""Prompt sets, reference sets and protected works, each one validated Parquet file known by its digest."""
