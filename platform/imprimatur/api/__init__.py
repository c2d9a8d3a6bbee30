"""One ASGI app from the features' routes and MLflow's own."""
