"""One command group a feature."""
