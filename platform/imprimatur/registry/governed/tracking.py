"""MLflow's tracking store, where artifacts go below our artifact folder and nowhere else."""

from __future__ import annotations

from typing import Any

from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from imprimatur.core.errors import Refused
from imprimatur.registry.governed.store import as_mlflow

_PROXIED = "mlflow-artifacts:/"


class GovernedTracking(SqlAlchemyStore):
    """MLflow's SQL tracking store. An experiment can't send the server to read or write files elsewhere."""

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> Any:
        """Create an experiment. Raises MLflow's PERMISSION_DENIED ``bad-location`` for a place of its own."""
        if artifact_location and not artifact_location.startswith(_PROXIED):
            raise as_mlflow(
                Refused(
                    "bad-location",
                    f"Artifacts can't go to {artifact_location[:200]!r} (expected none, or below {_PROXIED!r})",
                )
            )
        return super().create_experiment(name, artifact_location, tags)
