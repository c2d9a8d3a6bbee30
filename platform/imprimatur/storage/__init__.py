"""Sealed bytes: a write-once, content-addressed store in the form of an OCI image layout."""
