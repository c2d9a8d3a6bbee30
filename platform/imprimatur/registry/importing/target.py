"""Writing into our server by the doors that everybody uses: MLflow's client and our API, as the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.credentials import read_mlflow_creds

from imprimatur.core.client import Client
from imprimatur.core.errors import BadInput, Conflict, NotFound, Refused
from imprimatur.registry.governed import law
from imprimatur.registry.importing.connection import PAGE, Connection
from imprimatur.registry.importing.model import (
    KnownRun,
    KnownVersion,
    Mark,
    SourceExperiment,
    SourceModel,
    SourceRun,
    SourceVersion,
    VersionKey,
)
from imprimatur.registry.importing.source import quoted

SOURCE_TAG = "imprimatur.source"
RUN_TAG = "imprimatur.source_run"
_PARENT = "mlflow.parentRunId"
_ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
_FEW, _MANY = 100, 1000  # what MLflow takes at once: params and tags, metrics
_Item = TypeVar("_Item")


class Target:
    """Our server, as the holder of ``token``, who takes over what ``source`` has."""

    def __init__(self, api: Client, token: str, source: str) -> None:
        self._api = api
        self._source = source
        self._connection = Connection("server", api.address, {"MLFLOW_TRACKING_TOKEN": token})
        self._unfinished: dict[str, dict[str, str]] = {}
        with self._connection.presenting():
            _require_no_login_file()

    def known_runs(self, runs: Iterable[str]) -> dict[str, KnownRun]:
        """Our runs of those of the source that were taken over before."""
        answer = self._api.post("/imports/runs/known", {"source": self._source, "runs": sorted(set(runs))})
        return {run: KnownRun(**found) for run, found in answer["runs"].items()}

    def known_versions(self, keys: Iterable[VersionKey]) -> dict[str, KnownVersion]:
        """Our versions of those that were taken over before, by the digest of their keys."""
        answer = self._api.post("/imports/versions/known", {"keys": [key.digest for key in keys]})
        return {key: _known(found) for key, found in answer["versions"].items()}

    def experiment(self, wanted: SourceExperiment) -> str:
        """The id of our experiment of that name, made where there is none. Raises Conflict ``deleted-experiment``."""
        found = self._connection.ask(lambda client: client.get_experiment_by_name(wanted.name))
        if found is None:
            return self._connection.ask(
                lambda client: client.create_experiment(wanted.name, tags=_unreserved(wanted.tags))
            )
        if found.lifecycle_stage != "active":
            raise Conflict(
                "deleted-experiment", f"The experiment {wanted.name!r} was deleted here; restore it or purge it first"
            )
        return str(found.experiment_id)

    def unfinished_runs(self, experiment: str) -> Mapping[str, str]:
        """Our runs by those of the source that an import began and did not end, or that still go on there."""
        if experiment not in self._unfinished:
            self._unfinished[experiment] = dict(self._search_unfinished(experiment))
        return self._unfinished[experiment]

    def begin_run(self, experiment: str, run: SourceRun) -> str:
        """A new run, marked as that one of the source."""
        tags = {SOURCE_TAG: self._source, RUN_TAG: run.id}
        made = self._connection.ask(
            lambda client: client.create_run(experiment, run.started_at, tags, run.name or None)
        )
        return str(made.info.run_id)

    def fill_run(self, run_id: str, run: SourceRun) -> None:
        """Log the params and tags; a second time changes nothing."""
        tags = _unreserved(run.tags)
        if _PARENT in tags:
            parent = self.known_runs([tags[_PARENT]]).get(tags[_PARENT])
            tags |= {_PARENT: parent.run if parent else ""}
        params = [Param(name, value) for name, value in run.params.items()]
        marks = [RunTag(name, value) for name, value in tags.items() if value or name != _PARENT]
        for few in _batches(params, _FEW):
            self._log(run_id, params=few)
        for some in _batches(marks, _FEW):
            self._log(run_id, tags=some)

    def log_history(self, run_id: str, history: Iterable[Metric]) -> None:
        """Log every value of a metric with its time and step; a second time changes nothing."""
        values = [Metric(entry.key, entry.value, entry.timestamp, entry.step) for entry in history]
        for many in _batches(values, _MANY):
            self._log(run_id, metrics=many)

    def record_run(self, run_id: str, run: SourceRun) -> str:
        """Our run of the source's: this one, or another import's that was first."""
        document = {"source": self._source, "source_run": run.id, "run": run_id}
        return str(self._api.post("/imports/runs", document)["run"])

    def end_run(self, run_id: str, run: SourceRun) -> None:
        """Give our run the status and the end that it had in the source."""
        if run.status in _ENDED:
            self._connection.ask(lambda client: client.set_terminated(run_id, run.status, run.ended_at))

    def discard_run(self, run_id: str) -> None:
        """Delete a run that another import was first with."""
        self._connection.ask(lambda client: client.delete_run(run_id))

    def aliases(self, model: SourceModel) -> dict[str, int]:
        """The aliases that our model of that name has; the model is made where there is none."""
        try:
            found = self._connection.ask(lambda client: client.get_registered_model(model.name))
        except NotFound:
            self._connection.ask(
                lambda client: client.create_registered_model(model.name, _unreserved(model.tags), model.description)
            )
            return {}
        return {alias: int(version) for alias, version in found.aliases.items()}

    def place(self, run_id: str, key: VersionKey) -> str:
        """Where the version's files are to be on our server."""
        run = self._connection.ask(lambda client: client.get_run(run_id))
        return f"{run.info.artifact_uri}/{key.folder}"

    def version_at(self, place: str) -> tuple[str, int] | None:
        """Model and number of the version whose files are at ``place``."""
        found = self._connection.ask(
            lambda client: client.search_model_versions(f"source_path={quoted(place)}", max_results=1)
        )
        return (found[0].name, int(found[0].version)) if found else None

    def upload(self, run_id: str, folder: Path, key: VersionKey) -> None:
        """Log the files to our run."""
        self._connection.ask(lambda client: client.log_artifacts(run_id, str(folder), key.folder))

    def create_version(self, version: SourceVersion, run_id: str, place: str) -> tuple[str, int]:
        """Register the files at ``place`` as a new version of the model of that name."""
        tags, text = _unreserved(version.tags), version.description

        def create(client: MlflowClient) -> tuple[str, int]:
            made = client.create_model_version(version.key.model, place, run_id, tags, description=text)
            return made.name, int(made.version)

        return self._connection.ask(create)

    def set_alias(self, model: str, alias: str, version: int) -> None:
        """Point an alias at a version. Raises Refused for a protected one."""
        self._connection.ask(lambda client: client.set_registered_model_alias(model, alias, str(version)))

    def record_version(
        self, here: tuple[str, int], version: SourceVersion, aliases: Sequence[str], approved: Sequence[str]
    ) -> KnownVersion:
        """Write down where our version came from; the answer is another import's version where that was first."""
        document = {
            "model": here[0],
            "version": here[1],
            "origin": version.key.document(),
            "stage": version.stage,
            "aliases": list(aliases),
            "approved_aliases": list(approved),
        }
        return _known(self._api.post("/imports/versions", document))

    def discard_version(self, here: tuple[str, int]) -> None:
        """Delete a version that another import was first with."""
        self._connection.ask(lambda client: client.delete_model_version(here[0], str(here[1])))

    def seal(self, model: str, version: int) -> None:
        """Seal a version. Raises what admission refuses."""
        self._api.post(f"/models/{quote(model, safe='')}/versions/{version}/seal")

    def _log(
        self, run_id: str, metrics: Sequence[Metric] = (), params: Sequence[Param] = (), tags: Sequence[RunTag] = ()
    ) -> None:
        self._connection.ask(lambda client: client.log_batch(run_id, metrics, params, tags))

    def _search_unfinished(self, experiment: str) -> Iterator[tuple[str, str]]:
        wanted = f"attributes.status = 'RUNNING' and tags.`{SOURCE_TAG}` = {quoted(self._source)}"
        found = self._connection.pages(
            lambda client, token: client.search_runs([experiment], wanted, max_results=PAGE, page_token=token)
        )
        runs = (run for page in found for run in page)
        yield from ((run.data.tags[RUN_TAG], run.info.run_id) for run in runs if RUN_TAG in run.data.tags)


def reserved(tags: Iterable[str]) -> list[str]:
    """Those of the tags' keys that are ours alone to set."""
    return sorted(key for key in tags if _is_reserved(key))


def _known(answer: Mapping[str, Any]) -> KnownVersion:
    return KnownVersion(answer["model"], answer["version"], answer["sealed"], Mark(answer["mark"]))


def _unreserved(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not _is_reserved(key)}


def _is_reserved(key: str) -> bool:
    try:
        law.refuse_reserved_tags([key])
    except Refused:
        return True
    return False


def _batches(items: Sequence[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _require_no_login_file() -> None:
    """MLflow's login file goes before any token, and to every server."""
    found = read_mlflow_creds()
    if found.username and found.password:
        raise BadInput(
            "mlflow-login-file",
            "~/.mlflow/credentials holds a name and a password, which MLflow would send to our server instead of the "
            "token; move it away and give them in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
