"""Decisions, approvals and what is released where."""
