"""An MLflow of before: a database that MLflow's own client fills with what teams come from."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag


@dataclass(frozen=True)
class OldMlflow:
    """The filled database, and the runs in it: ``run``, its failed ``child``, one still ``going``, one ``alone``."""

    home: Path
    uri: str
    runs: Mapping[str, str]

    @contextmanager
    def client(self) -> Iterator[MlflowClient]:
        """MLflow's client of this database, which looks some things up wherever the environment points."""
        with variables({"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_REGISTRY_URI": self.uri}):
            yield MlflowClient(self.uri, self.uri)


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment inside the block; after it all is as before, whatever was set in between."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def fill(home: Path, saved: Path, uri: str = "") -> OldMlflow:
    """Fill the database ``uri``, by default an SQLite file in the folder ``home``; ``saved`` is a saved pipeline."""
    empty = OldMlflow(home, uri or f"sqlite:///{home}/mlflow.db", {})
    with empty.client() as client:
        digits = client.create_experiment("digits", f"{home}/artifacts", tags={"team": "imaging"})
        other = client.create_experiment("it's other", f"{home}/other")
        runs = {"run": _full_run(client, digits, saved)}
        runs["child"] = _run(client, digits, 1_500, "FAILED", {"mlflow.parentRunId": runs["run"]})
        runs["going"] = client.create_run(digits, start_time=1_700, run_name="going").info.run_id
        client.log_metric(runs["going"], "loss", 0.5, timestamp=1, step=1)
        runs["alone"] = _run(client, other, 3_000, "KILLED", {})
        client.log_param(runs["alone"], "depth", 3)
        _add_digits(client, digits, runs["run"], saved, home / "pickled")
        _add_faces(client, runs["run"])
        _add_notes(client, runs["alone"], home / "note.txt")
    return OldMlflow(home, empty.uri, runs)


def _run(client: MlflowClient, experiment: str, start: int, status: str, tags: Mapping[str, str]) -> str:
    run: str = client.create_run(experiment, start_time=start, tags=dict(tags)).info.run_id
    client.set_terminated(run, status, start + 100)
    return run


def _full_run(client: MlflowClient, experiment: str, saved: Path) -> str:
    """A run with more of everything than MLflow takes at once."""
    run: str = client.create_run(
        experiment, start_time=1_000, tags={"mlflow.user": "zoe"}, run_name="first"
    ).info.run_id
    params = [Param(f"param-{i}", str(i)) for i in range(130)]
    client.log_batch(run, params=params[:100], tags=[RunTag(f"tag-{i}", "x") for i in range(100)])
    client.log_batch(run, params=params[100:], tags=[RunTag(f"more-{i}", "x") for i in range(20)])
    losses = [Metric("loss", 1 / (1 + i), 5_000 + i, i) for i in range(1_200)]
    client.log_batch(run, metrics=losses[:1_000])
    client.log_batch(run, metrics=losses[1_000:])
    client.log_metric(run, "broken", math.nan, timestamp=7_000)
    client.log_metric(run, "broken", math.inf, timestamp=7_001)
    client.log_artifacts(run, str(saved), "pipeline")
    client.set_terminated(run, "FINISHED", 2_000)
    return run


def _add_digits(client: MlflowClient, experiment: str, run: str, saved: Path, pickled: Path) -> None:
    """Version 1 of a run's files, 2 of a logged model's (the champion), 3 of a folder with a pickle and of no run."""
    client.create_registered_model("digits", {"kind": "pixels"}, "All ten of them")
    tags = {"note": "x", "imprimatur.note": "x"}
    client.create_model_version("digits", f"runs:/{run}/pipeline", run, tags, description="The first")
    logged = client.create_logged_model(experiment, name="pipeline", source_run_id=run).model_id
    client.log_model_artifacts(logged, str(saved))
    client.finalize_logged_model(logged, "READY")
    client.create_model_version("digits", f"models:/{logged}", run, model_id=logged)
    pickled.mkdir(parents=True)
    (pickled / "model.pkl").write_bytes(b"\x80\x04N.")
    client.create_model_version("digits", str(pickled))
    client.set_registered_model_alias("digits", "candidate", "1")
    client.set_registered_model_alias("digits", "Champion", "2")


def _add_faces(client: MlflowClient, run: str) -> None:
    """Version 1 in a stage, 2 deleted, 3 in production, of a model whose name wants quoting."""
    client.create_registered_model("it's faces")
    for _ in range(3):
        client.create_model_version("it's faces", f"runs:/{run}/pipeline", run)
    client.delete_model_version("it's faces", "2")
    client.set_registered_model_alias("it's faces", "production", "3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MLflow would rather have no stages
        client.transition_model_version_stage("it's faces", "1", "Staging")


def _add_notes(client: MlflowClient, run: str, note: Path) -> None:
    """Two versions of a model that is one small text, the second of them with an alias."""
    note.write_text("no weights")
    client.log_artifact(run, str(note), "model")
    client.create_registered_model("notes")
    for _ in range(2):
        client.create_model_version("notes", f"runs:/{run}/model", run)
    client.set_registered_model_alias("notes", "steady", "2")
