"""MLflow's tracking store, where artifacts go below our artifact folder and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun, SqlTraceTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracing.constant import TraceTagKey
from mlflow.utils.mlflow_tags import MLFLOW_ARTIFACT_LOCATION
from sqlalchemy import ColumnElement, and_, or_, select

from imprimatur.access.http import caller_name
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import Fault, Refused
from imprimatur.registry.governed.store import as_mlflow, plain_subject

_LOCATION_TAGS = frozenset(
    {
        MLFLOW_ARTIFACT_LOCATION,
        TraceTagKey.SPANS_LOCATION,
        TraceTagKey.ARCHIVE_LOCATION,
        TraceTagKey.ARCHIVAL_FAILURE,
    }
)
_NAMED = 5  # of each kind


class GovernedTracking(SqlAlchemyStore):
    """MLflow's SQL tracking store, which alone says where files are.

    A client that could say it would have the server read and delete files elsewhere, and would have other people's
    clients present their tokens to hosts of its choice. Refusals are events.
    """

    def __init__(self, database: str, artifacts: str, log: AuditLog) -> None:
        super().__init__(database, artifacts)
        self._log = log

    def require_own_places(self) -> None:
        """Raise Fault ``foreign-places`` where files are said to be on another host, or outside the artifact folder.

        No client can say so any more; a database that was filled without this store may.
        """
        with self.ManagedSessionMaker() as session:
            found = [
                f"{kind} {name} at {place[:200]!r}"
                for kind, query in _foreign_places().items()
                for name, place in session.execute(query.limit(_NAMED))
            ]
        if found:
            raise Fault(
                "foreign-places",
                f"MLflow would send clients with their tokens elsewhere: {'; '.join(found)} (expected places below "
                "mlflow-artifacts:/); correct or delete these rows in the database, then start the server again",
            )

    def create_experiment(self, name: str, artifact_location: str | None = None, tags: Any = None) -> Any:
        """Create an experiment. Raises MLflow's PERMISSION_DENIED ``bad-location`` for a place of its own."""
        if artifact_location:
            message = (
                f"Artifacts can't go to {artifact_location[:200]!r} (expected no location: the server has its own)"
            )
            self._refuse("experiment.create", name, Refused("bad-location", message))
        return super().create_experiment(name, artifact_location, tags)

    def start_trace(self, trace_info: Any) -> Any:
        """Begin a trace. Raises MLflow's PERMISSION_DENIED ``reserved-trace-tag``, as the next three do."""
        self._refuse_locations("trace.start", trace_info.trace_id, trace_info.tags)
        return super().start_trace(trace_info)

    def set_trace_tag(self, trace_id: str, key: str, value: str) -> Any:
        """Tag a trace."""
        self._refuse_locations("trace.tag", trace_id, [key])
        return super().set_trace_tag(trace_id, key, value)

    def deprecated_start_trace_v2(self, experiment_id: str, timestamp_ms: int, request_metadata: Any, tags: Any) -> Any:
        """Begin a trace as older clients do."""
        self._refuse_locations("trace.start", f"experiment {experiment_id}", tags)
        return super().deprecated_start_trace_v2(experiment_id, timestamp_ms, request_metadata, tags)

    def deprecated_end_trace_v2(
        self, request_id: str, timestamp_ms: int, status: Any, request_metadata: Any, tags: Any
    ) -> Any:
        """End a trace as older clients do."""
        self._refuse_locations("trace.end", request_id, tags)
        return super().deprecated_end_trace_v2(request_id, timestamp_ms, status, request_metadata, tags)

    def _refuse_locations(self, intent: str, subject: str, keys: Iterable[str]) -> None:
        """Refuse tags by which MLflow finds a trace's files."""
        named = sorted(_LOCATION_TAGS.intersection(keys))
        if named:
            message = (
                f"Where a trace's files are is not for clients to say (got {', '.join(named)}, expected other tags)"
            )
            self._refuse(intent, subject, Refused("reserved-trace-tag", message))

    def _refuse(self, intent: str, subject: str, error: Refused) -> None:
        self._log.refusal(caller_name(), intent, plain_subject(subject), error)
        raise as_mlflow(error)


def _foreign_places() -> dict[str, Any]:
    """Queries by what they find: its name and the place that it should not have."""
    is_location: ColumnElement[bool] = SqlTraceTag.key.in_([MLFLOW_ARTIFACT_LOCATION, TraceTagKey.ARCHIVE_LOCATION])
    elsewhere = or_(SqlTraceTag.value.not_like("mlflow-artifacts:/%"), _leads_away(SqlTraceTag.value))
    return {
        "experiment": select(SqlExperiment.name, SqlExperiment.artifact_location).where(
            _leads_away(SqlExperiment.artifact_location)
        ),
        "run": select(SqlRun.run_uuid, SqlRun.artifact_uri).where(_leads_away(SqlRun.artifact_uri)),
        "logged model": select(SqlLoggedModel.model_id, SqlLoggedModel.artifact_location).where(
            _leads_away(SqlLoggedModel.artifact_location)
        ),
        "trace": select(SqlTraceTag.request_id, SqlTraceTag.value).where(is_location, elsewhere),
    }


def _leads_away(place: Any) -> ColumnElement[bool]:
    return or_(
        place.ilike("http:%"),
        place.ilike("https:%"),
        place.ilike("mlflow-artifacts://%"),
        and_(place.ilike("mlflow-artifacts:%"), place.like("%..%")),
    )
