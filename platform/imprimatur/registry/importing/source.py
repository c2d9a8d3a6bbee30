"""Reading another MLflow: page by page, through its own client, without changing a byte of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import SplitResult, quote, urlsplit

from alembic.util import CommandError
from mlflow.entities import Experiment, Metric, Run
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.db import utils as schema
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from imprimatur.core.errors import BadInput, Fault, NotFound, Refused
from imprimatur.registry import environment
from imprimatur.registry.importing.address import Address, origin_of
from imprimatur.registry.importing.connection import PAGE, Connection
from imprimatur.registry.importing.model import SourceExperiment, SourceModel, SourceRun, SourceVersion, VersionKey

_HOPS = 4
_ASKING_SERVERS = frozenset({"http", "https", "mlflow-artifacts"})  # with the source's own credentials
_STORAGE = _ASKING_SERVERS | {"s3", "r2", "b2", "gs", "wasbs", "ftp", "sftp", "hdfs", "viewfs"}
"""Where a server's files may be. Not ``abfss``: it presents this machine's Azure identity to whatever host is named."""


class Source:
    """An MLflow to take from. ``name`` is what imports know it by."""

    def __init__(self, address: Address, name: str, scratch: Path) -> None:
        self.name = name
        self._address = address
        self._connection = Connection(
            "source", _readable(address, scratch), {**environment.credentials(), **address.login}
        )

    def experiments(self, names: Sequence[str] = ()) -> Iterator[SourceExperiment]:
        """The active experiments, or those named. Raises BadInput ``no-such-experiment``."""
        if not names:
            found = self._connection.pages(
                lambda client, token: client.search_experiments(max_results=PAGE, page_token=token)
            )
            yield from (_experiment(entry) for page in found for entry in page)
        for name in names:
            yield self._experiment(name)

    def runs(self, experiment: SourceExperiment) -> Iterator[list[SourceRun]]:
        """The active runs of an experiment, oldest first, in pages."""
        found = self._connection.pages(
            lambda client, token: client.search_runs(
                [experiment.id], max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
        )
        yield from ([_run(entry) for entry in page] for page in found)

    def run(self, run_id: str) -> tuple[SourceExperiment, SourceRun]:
        """A run, deleted or not, with its experiment. Raises NotFound ``not-in-mlflow``."""
        found = self._connection.ask(lambda client: client.get_run(run_id))
        experiment = self._connection.ask(lambda client: client.get_experiment(found.info.experiment_id))
        return _experiment(experiment), _run(found)

    def history(self, run_id: str, metric: str) -> list[Metric]:
        """Everything that was logged of one metric."""
        return self._connection.ask(lambda client: client.get_metric_history(run_id, metric))

    def models(self, names: Sequence[str] = ()) -> Iterator[SourceModel]:
        """The registered models, or those named. Raises BadInput ``no-such-source-model``."""
        if not names:
            found = self._connection.pages(
                lambda client, token: client.search_registered_models(max_results=PAGE, page_token=token)
            )
            yield from (_model(entry) for page in found for entry in page)
        for name in names:
            yield self._model(name)

    def versions(self, model: SourceModel) -> Iterator[list[SourceVersion]]:
        """The versions of a model, oldest first, in pages."""
        named = f"name={quoted(model.name)}"
        found = self._connection.pages(
            lambda client, token: client.search_model_versions(
                named, max_results=PAGE, order_by=["version_number ASC"], page_token=token
            )
        )
        yield from ([self._version(entry) for entry in page] for page in found)

    def download(self, version: SourceVersion, folder: Path) -> None:
        """Copy a version's files into the empty ``folder``, with MLflow's own client of wherever they are.

        Raises Refused ``local-artifacts`` where a server names anything but remote storage, ``foreign-artifacts`` where
        the source's credentials would go to another server, ``no-artifacts`` where there are no files; Fault
        ``artifacts-unreadable``.
        """
        location = self._location_of(version)
        self._require_its_own(version, location)
        uri = self._connection.uri
        try:
            with self._connection.presenting():
                get_artifact_repository(location, uri, uri).download_artifacts("", str(folder))
        except Exception as error:  # every kind of storage raises its own, and a missing client library does, too
            raise Fault(
                "artifacts-unreadable", f"The files of {version.label} can't be read at {location[:200]!r}: {error}"
            ) from error
        if not any(path.is_file() for path in folder.rglob("*")):
            raise Refused("no-artifacts", f"{version.label} has no files at {location[:200]!r} (expected a folder)")

    def _require_its_own(self, version: SourceVersion, location: str) -> None:
        if self._address.is_server and _parts_of(location).scheme not in _STORAGE:
            raise Refused(
                "local-artifacts",
                f"The source says that {version.label} is at {location[:200]!r}, which a server has no business to say "
                f"(expected one of {', '.join(sorted(_STORAGE))}); where that is right, import from its database",
            )
        if self._is_foreign(location):
            raise Refused(
                "foreign-artifacts",
                f"The source says that {version.label} is at {location[:200]!r}, where the source's credentials would "
                f"go with the request (expected {self._address.origin or 'no server'}); where that is right, import "
                "from that server",
            )

    def _is_foreign(self, location: str) -> bool:
        """Whether MLflow's client would present the source's credentials to another server than the source."""
        parts = _parts_of(location)
        if parts.scheme not in _ASKING_SERVERS or (parts.scheme == "mlflow-artifacts" and not parts.netloc):
            return False
        own = self._address.origin
        if parts.scheme == "mlflow-artifacts":  # asked by the scheme of the tracking server
            location = f"{urlsplit(self._address.uri).scheme}://{parts.netloc}"
        return own is None or origin_of(location) != own

    def _location_of(self, version: SourceVersion) -> str:
        """Where a version's files are. MLflow is asked last: its client fetches the whole model for each answer."""
        with suppress(NotFound):  # the run or logged model is gone; the registry may remember where its files were
            if version.location:
                return self._location(version.location)
        return self._location(self._model_location(version.label))

    def _location(self, uri: str) -> str:
        """Where the files are: ``runs:/`` and ``models:/`` followed here, as MLflow's own way asks another server."""
        for _ in range(_HOPS):
            scheme, rest = _parts_of(uri).scheme, uri.partition(":")[2]
            if scheme == "runs":
                run, _, path = rest.strip("/").partition("/")
                uri = f"{self._run_location(run)}/{path}"
            elif scheme == "models":
                uri = self._model_location(rest.strip("/"))
            else:
                return uri
        raise Refused("no-artifacts", f"The source's places refer to each other without end (at {uri[:200]!r})")

    def _run_location(self, run: str) -> str:
        return str(self._connection.ask(lambda client: client.get_run(run)).info.artifact_uri)

    def _model_location(self, path: str) -> str:
        name, _, version = path.rpartition("/")
        if not name:
            return str(self._connection.ask(lambda client: client.get_logged_model(path)).artifact_location)
        return self._connection.ask(lambda client: client.get_model_version_download_uri(name, version))

    def _experiment(self, name: str) -> SourceExperiment:
        found = self._connection.ask(lambda client: client.get_experiment_by_name(name))
        if found is None:
            raise BadInput("no-such-experiment", f"The source has no experiment {name!r}")
        return _experiment(found)

    def _model(self, name: str) -> SourceModel:
        try:
            return _model(self._connection.ask(lambda client: client.get_registered_model(name)))
        except NotFound as error:
            raise BadInput("no-such-source-model", f"The source has no model {name!r}") from error

    def _version(self, entry: ModelVersion) -> SourceVersion:
        key = VersionKey(self.name, entry.name, int(entry.version), int(entry.creation_timestamp or 0))
        tags = {str(name): str(value) for name, value in entry.tags.items()}
        stage = entry.current_stage or "None"
        return SourceVersion(key, entry.source or "", entry.run_id or "", stage, entry.description or "", tags)


def _parts_of(uri: str) -> SplitResult:
    """The parts of a place, as MLflow reads them: schemes in any case. Raises Refused ``bad-location``."""
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise Refused("bad-location", f"The source names {uri[:200]!r}, which is no place: {error}") from error


def quoted(text: str) -> str:
    """``text`` as a literal of MLflow's filters. Raises Refused ``bad-name`` for one with both kinds of quotes."""
    mark = '"' if "'" in text else "'"
    if mark in text:
        raise Refused("bad-name", f"MLflow can't be asked about {text!r} (expected at most one kind of quotes in it)")
    return f"{mark}{text}{mark}"


def _readable(address: Address, scratch: Path) -> str:
    """The URI for MLflow's client. It would bring an older database up to date, so it never gets to write in one."""
    if address.is_server:
        return address.uri
    if address.file is None:
        _require_schema(address.uri)
        return address.uri
    copy = scratch / "source.db"
    _copy(address.file, copy)
    uri = f"sqlite:///{copy}"
    _bring_up(uri, address.name)
    return uri


def _copy(file: Path, copy: Path) -> None:
    """One consistent state of a database that others may be writing."""
    try:
        with (
            closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as origin,
            closing(sqlite3.connect(copy)) as target,
        ):
            origin.backup(target)
    except sqlite3.Error as error:
        raise Refused("bad-source-database", f"{file} can't be read as an SQLite database: {error}") from error


def _bring_up(uri: str, name: str) -> None:
    engine = create_engine(uri)
    try:
        if _revision(engine, name) != schema._get_latest_schema_revision():
            schema._upgrade_db(engine)
    except (SQLAlchemyError, CommandError) as error:
        raise Refused(
            "source-schema", f"{name} is of an MLflow that this one can't read: {error}; name its server's address"
        ) from error
    finally:
        engine.dispose()


def _require_schema(uri: str) -> None:
    engine = create_engine(uri)
    try:
        found, expected = _revision(engine, "The source"), schema._get_latest_schema_revision()
    except SQLAlchemyError as error:
        raise Fault("source-unreachable", f"No answer from the source: {error}") from error
    finally:
        engine.dispose()
    if found != expected:
        raise Refused(
            "source-schema",
            f"The source's schema is at {found} (expected {expected}), and it is not ours to bring up to date; name "
            "the address of the MLflow server in front of it",
        )


def _revision(engine: Engine, name: str) -> str:
    found: str | None = schema._get_schema_version(engine)
    if found is None:
        raise Refused("bad-source-database", f"{name} is no MLflow database (it has no schema version)")
    return found


def _experiment(entry: Experiment) -> SourceExperiment:
    return SourceExperiment(entry.experiment_id, entry.name, dict(entry.tags))


def _run(entry: Run) -> SourceRun:
    return SourceRun(
        id=entry.info.run_id,
        name=entry.info.run_name or "",
        status=entry.info.status,
        started_at=entry.info.start_time or 0,
        ended_at=entry.info.end_time,
        params=dict(entry.data.params),
        tags=dict(entry.data.tags),
        metrics=tuple(sorted(entry.data.metrics)),
    )


def _model(entry: RegisteredModel) -> SourceModel:
    aliases = {alias: int(version) for alias, version in entry.aliases.items()}
    return SourceModel(entry.name, entry.description or "", dict(entry.tags), aliases)
