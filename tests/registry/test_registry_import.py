"""`imprimatur mlflow import` from a real MLflow into a real server: all of it, once, and without its authority."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache
from typer.testing import CliRunner

from cut_line import line_to
from imprimatur.access.model import Principal, Role
from imprimatur.api.wiring import House
from imprimatur.audit.service import AuditLog
from imprimatur.cli.main import app
from imprimatur.core.database import Database
from imprimatur.core.digests import digest_of_file
from imprimatur.core.errors import ImprimaturError, Refused
from imprimatur.registry.importing.connection import Connection
from imprimatur.registry.importing.model import Mark
from old_mlflow import OldMlflow, fill, variables
from registry_server import RegistryServer, serving_registry

USE = {
    **{"purpose": "teaching", "prohibited": ["forgery"], "audience": "pupils", "region": "EU"},
    **{"tier": "minimal", "owner": "ana", "review_by": "2099-01-01"},
}
_NO_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_MODULE = [sys.executable, "-W", "ignore", "-m", "imprimatur.cli.main"]


def run_command(arguments: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Exit status of a command in this process, and what it printed or the code of its error."""
    _artifact_repos_cache.clear()  # as a new process would find it: MLflow remembers a run's server in it
    with variables(environment):
        ran = CliRunner().invoke(app, list(arguments))
    error = ran.exception if isinstance(ran.exception, ImprimaturError) else None
    assert error or ran.exit_code in (0, 1), repr(ran.exception)
    return (error.exit_status, error.code) if error else (ran.exit_code, ran.stdout)


def dump(client: MlflowClient) -> dict[str, Any]:
    """Every run of every experiment but what depends on where it is."""
    dumped = {}
    for experiment in client.search_experiments():
        if experiment.name != "imported":
            runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
            dumped[experiment.name] = _mine(experiment.tags), [_dumped(client, run) for run in runs]
    return dumped


def _dumped(client: MlflowClient, run: Run) -> dict[str, Any]:
    histories = {name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics}
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": _mine(run.data.tags),
        "metrics": {
            name: sorted((entry.timestamp, entry.step, repr(entry.value)) for entry in history)
            for name, history in histories.items()
        },
    }


def _mine(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith(("imprimatur.", "mlflow.parentRunId"))}


@dataclass(frozen=True)
class Stage:
    """A server that took everything over from an old MLflow, and what the command said then."""

    server: RegistryServer
    old: OldMlflow
    before: dict[str, str]
    status: int
    report: dict[str, Any]
    database: Database

    def command(self, *arguments: str, person: str = "ana", **environment: str) -> tuple[int, str]:
        """Exit status of a command, and what it printed or the code of its error."""
        token = self.server.tokens[person]
        return run_command(
            arguments,
            {"IMPRIMATUR_SERVER": self.server.address, "IMPRIMATUR_TOKEN": token, **_NO_RETRIES, **environment},
        )

    def take(self, *arguments: str, source: str = "", person: str = "ana", **environment: str) -> tuple[int, Any]:
        """Exit status of an import, and its report or the code of its error."""
        status, text = self.command(*self.importing(*arguments, source=source), person=person, **environment)
        return status, json.loads(text) if text.startswith("{") else text

    def mlflow(self) -> Connection:
        """MLflow's client of our server, as Ana."""
        return Connection("server", self.server.address, {"MLFLOW_TRACKING_TOKEN": self.server.tokens["ana"]})

    def importing(self, *arguments: str, source: str = "") -> list[str]:
        """The import's arguments."""
        return ["mlflow", "import", source or self.old.uri, *arguments, "--json"]

    def taken(self, source: str) -> dict[str, Any]:
        """What is here of ``source``: runs and versions as MLflow has them, and as we remember them."""

        def search(client: MlflowClient) -> list[Run]:
            experiments = [experiment.experiment_id for experiment in client.search_experiments()]
            return list(client.search_runs(experiments, f'tags.`imprimatur.source` = "{source}"'))

        runs = [(run.data.tags["imprimatur.source_run"], run.info.run_id) for run in self.mlflow().ask(search)]
        of_source = "FROM imp_imported_version WHERE source = ?"
        return {
            "runs": sorted(run for run, _ in runs),
            "remembered": self.rows("SELECT source_run FROM imp_imported_run WHERE source = ?", source),
            "versions": self.rows(f"SELECT source_model, source_version, mark {of_source}", source),
            "registered": sum(
                len(self.rows("SELECT version FROM model_versions WHERE run_id = ? AND current_stage = 'None'", run))
                for _, run in runs
            ),
        }

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What the database answers, sorted."""
        with closing(sqlite3.connect(self.database.url.removeprefix("sqlite:///"))) as connection:
            return sorted(row[0] if len(row) == 1 else row for row in connection.execute(query, values))

    def run_of(self, source_run: str) -> str:
        """Our run of the old one's."""
        (found,) = self.rows(
            "SELECT run_id FROM imp_imported_run WHERE source_run = ? AND source = ?", source_run, self.old.uri
        )
        return str(found)

    def events(self, action: str) -> list[Any]:
        """The events of one kind, newest first."""
        return [event for event in AuditLog(self.database).recent(limit=1000) if event.action == action]


def _digests(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): digest_of_file(path) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, saved_once: Path) -> OldMlflow:
    """The MLflow that a team comes from; nobody writes in it."""
    return fill(tmp_path_factory.mktemp("old"), saved_once)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, old: OldMlflow) -> Iterator[Stage]:
    """The stage, after the first import."""
    before = _digests(old.home)
    with serving_registry(tmp_path_factory.mktemp("server")) as server:
        database = Database(server.settings.database)
        status, report = Stage(server, old, {}, 0, {}, database).take()
        yield Stage(server, old, before, status, report, database)
        database.dispose()


def test_runs_arrive_with_params_tags_times_and_every_value_of_every_metric(stage: Stage) -> None:
    here = stage.mlflow().ask(dump)
    with stage.old.client() as client:
        there = dump(client)

    assert here == there
    full, failed, going = here["digits"][1]
    assert (len(full["metrics"]["loss"]), len(full["params"])) == (1_200, 130)
    assert [run["status"] for run in (full, failed, going)] == ["FINISHED", "FAILED", "RUNNING"]


def test_a_child_run_names_its_parent_here(stage: Stage) -> None:
    child, parent = stage.run_of(stage.old.runs["child"]), stage.run_of(stage.old.runs["run"])

    assert stage.rows("SELECT value FROM tags WHERE run_uuid = ? AND key = 'mlflow.parentRunId'", child) == [parent]


def test_models_and_versions_arrive_with_their_files_words_and_runs(stage: Stage, saved_once: Path) -> None:
    model = stage.mlflow().ask(lambda client: client.get_registered_model("digits"))
    first = stage.mlflow().ask(lambda client: client.get_model_version("digits", "1"))
    second = stage.mlflow().ask(lambda client: client.get_model_version("digits", "2"))

    assert (model.description, model.tags) == ("All ten of them", {"kind": "pixels"})
    assert (first.description, first.tags) == ("The first", {"note": "x"})
    assert {version.run_id for version in (first, second)} == {stage.run_of(stage.old.runs["run"])}
    wanted = _digests(saved_once)
    for version in (first, second):
        place = str(version.source).removeprefix("mlflow-artifacts:/")
        assert _digests(stage.server.settings.artifacts / place) == wanted


def test_the_report_says_how_each_version_ended(stage: Stage) -> None:
    ended = [(version["source"], version["outcome"], version["code"]) for version in stage.report["versions"]]

    assert stage.status == 0
    assert stage.report["failures"] == []
    assert stage.report["runs"] == {"imported": 5, "already_there": 0}
    assert ended == [
        ("digits/1", "imported", None),
        ("digits/2", "imported", None),
        ("digits/3", "imported but can't be sealed", "pickle-file"),
        ("it's faces/1", "imported", None),
        ("it's faces/3", "imported", None),
        ("notes/1", "imported but can't be sealed", "no-weights"),
        ("notes/2", "imported but can't be sealed", "no-weights"),
    ]


def test_protected_aliases_stages_and_reserved_tags_are_reported_and_not_copied(stage: Stage) -> None:
    aliases = stage.rows("SELECT name, alias, version FROM registered_model_aliases")
    left_out = {version["source"]: version["left_out"] for version in stage.report["versions"]}

    assert {("digits", "candidate", 1), ("digits", "Champion", 2)} <= set(aliases)
    assert "production" not in {alias for _, alias, _ in aliases}
    assert stage.rows("SELECT DISTINCT current_stage FROM model_versions WHERE current_stage LIKE '%ing'") == []
    assert left_out["digits/1"] == ["tag imprimatur.note: reserved"]
    assert "imprimatur promote" in left_out["it's faces/3"][0]
    assert stage.events("alias.set.refused") == []


def test_each_version_is_marked_with_what_it_was(stage: Stage) -> None:
    marks = {version["source"]: version["mark"] for version in stage.report["versions"]}
    with stage.server.http("ben") as http:
        shown = http.get("/api/v1/models/digits/versions/2").json()["imported"]
        unmarked = http.get("/api/v1/models/digits/versions/1").json()["imported"]

    assert marks == {
        "digits/1": "not yet evaluated",
        "digits/2": "approved before Imprimatur",  # Champion
        "digits/3": "not yet evaluated",
        "it's faces/1": "approved before Imprimatur",  # stage Staging
        "it's faces/3": "approved before Imprimatur",  # production
        "notes/1": "not yet evaluated",
        "notes/2": "not yet evaluated",
    }
    assert (shown["mark"], shown["aliases"], shown["imported_by"]) == (Mark.APPROVED_BEFORE, ["Champion"], "ana")
    assert (shown["source"], shown["model"], shown["version"]) == (stage.old.uri, "digits", 2)
    assert unmarked["mark"] == Mark.NOT_EVALUATED


def test_the_audit_log_says_where_each_version_came_from(stage: Stage) -> None:
    (event,) = [
        event
        for event in stage.events("version.imported")
        if event.subject == "digits/2" and event.detail["origin"]["source"] == stage.old.uri
    ]

    assert event.actor == "ana"
    assert (event.detail["origin"]["model"], event.detail["origin"]["version"]) == ("digits", 2)
    assert (event.detail["mark"], event.detail["aliases"]) == (Mark.APPROVED_BEFORE, ["Champion"])
    assert event.detail["approved_aliases"] == ["champion", "production"]


def test_model_show_tells_what_a_version_was_before(stage: Stage) -> None:
    status, text = stage.command("model", "show", "digits/2")

    assert status == 0
    assert "approved before Imprimatur (alias Champion)" in text


def test_a_mark_releases_nothing(stage: Stage) -> None:
    ana = Principal("ana", frozenset({Role.ENGINEER}), "imaging")
    house = House.open(stage.server.settings)

    def refusal() -> str:
        with pytest.raises(Refused) as refused:
            house.releases.promote(ana, "digits", 2, "production")
        return refused.value.code

    refusals = [refusal()]
    house.registry.seal(ana, "digits", 2)
    refusals.append(refusal())
    house.registry.submit(ana, "digits", 2, USE)
    refusals.append(refusal())
    house.close()

    assert refusals == ["not-sealed", "no-submission", "no-active-policy"]
    assert stage.rows("SELECT id FROM imp_release UNION SELECT version_id FROM imp_hold") == []


def test_a_second_import_doubles_nothing(stage: Stage) -> None:
    before = stage.taken(stage.old.uri)
    status, report = stage.take()

    assert status == 0
    assert report["runs"] == {"imported": 0, "already_there": 4}
    assert {version["outcome"] for version in report["versions"]} == {"already there"}
    assert [version["mark"] for version in report["versions"]] == [v["mark"] for v in stage.report["versions"]]
    assert stage.taken(stage.old.uri) == before
    assert len(before["runs"]) == len(before["remembered"]) == 5
    assert before["registered"] == len(before["versions"]) == 7


def test_the_source_is_not_changed_by_a_byte(stage: Stage) -> None:
    assert _digests(stage.old.home) == stage.before


def test_a_run_that_goes_on_there_is_brought_up_to_date(stage: Stage, tmp_path: Path) -> None:
    copy = _copy_of(stage.old, tmp_path)
    named = ("--known-as", "going", "--experiment", "digits")
    stage.take(*named, source=copy.uri)
    with copy.client() as client:
        client.log_metric(copy.runs["going"], "loss", 0.25, timestamp=2, step=2)
        client.set_terminated(copy.runs["going"], "FINISHED", 9_000)

    stage.take(*named, source=copy.uri)

    here = f"SELECT run_id FROM imp_imported_run WHERE source = 'going' AND source_run = '{copy.runs['going']}'"
    assert stage.rows(f"SELECT value FROM metrics WHERE run_uuid IN ({here})") == [0.25, 0.5]
    assert stage.rows(f"SELECT status, end_time FROM runs WHERE run_uuid IN ({here})") == [("FINISHED", 9_000)]


def test_only_what_is_named_is_taken(stage: Stage) -> None:
    results = [
        stage.take("--known-as", "runs only", "--experiment", "it's other"),
        stage.take("--known-as", "model only", "--model", "it's faces", "--approved-alias", "blessed"),
        stage.take("--model", "no such"),
        stage.take("--experiment", "no such"),
    ]

    assert [status for status, _ in results] == [0, 0, 2, 2]
    assert [code for _, code in results[2:]] == ["no-such-source-model", "no-such-experiment"]
    assert stage.taken("runs only")["runs"] == [stage.old.runs["alone"]]
    assert stage.taken("runs only")["versions"] == []
    model = stage.taken("model only")
    assert model["runs"] == [stage.old.runs["run"]]
    assert model["versions"] == [
        ("it's faces", 1, "approved before Imprimatur"),
        ("it's faces", 3, "not yet evaluated"),
    ]


def test_versions_are_sealed_where_that_is_asked_also_later(stage: Stage) -> None:
    named = ("--known-as", "sealed", "--model", "digits")
    reports = [stage.take(*named), stage.take(*named, "--seal"), stage.take(*named)]

    assert [status for status, _ in reports] == [0, 0, 0]
    sealed = [[version["sealed"] for version in report["versions"]] for _, report in reports]
    assert sealed == [[False, False, False], [True, True, False], [True, True, False]]
    assert [version["code"] for version in reports[1][1]["versions"]] == [None, None, "pickle-file"]


def test_the_summary_names_the_versions_to_look_at(stage: Stage) -> None:
    status, text = stage.command("mlflow", "import", stage.old.uri, "--model", "notes", "--known-as", "words")

    assert status == 0
    assert "0 experiments; runs: 1 imported, 0 already there; versions: 2 imported but can't be sealed" in text
    assert "no-weights" in text


STEPS = [
    "POST /api/2.0/mlflow/runs/log-batch",
    "POST /api/v1/imports/runs",
    "POST /api/2.0/mlflow/runs/update",
    "PUT /api/2.0/mlflow-artifacts/artifacts",
    "POST /api/2.0/mlflow/model-versions/create",
    "POST /api/2.0/mlflow/registered-models/alias",
    "POST /api/v1/imports/versions",
]


@pytest.mark.parametrize("step", STEPS)
def test_an_import_that_is_cut_off_is_completed_by_the_next(stage: Stage, step: str) -> None:
    source = f"cut at {step}"
    named = ("--model", "notes", "--known-as", source)
    stage.mlflow().ask(lambda client: client.delete_registered_model_alias("notes", "steady"))
    with line_to(stage.server.address, lambda asked: re.fullmatch(rf"{step}(/[0-9]+/.+)?", asked) is not None) as line:
        cut = stage.take(*named, IMPRIMATUR_SERVER=line.address)
    status, report = stage.take(*named)

    taken = stage.taken(source)
    assert line.broken
    assert cut == (3, "server-unreachable")
    assert status == 0
    assert taken["runs"] == taken["remembered"] == [stage.old.runs["alone"]]
    assert taken["registered"] == len(taken["versions"]) == 2
    (status_of_run,) = stage.rows(
        "SELECT status FROM runs JOIN imp_imported_run ON run_id = run_uuid WHERE source = ?", source
    )
    assert status_of_run == "KILLED"
    aliased = stage.rows("SELECT version FROM registered_model_aliases WHERE alias = 'steady'")
    assert [f"notes/{version}" for version in aliased] == [report["versions"][1]["imported_as"]]


def test_an_import_that_is_killed_is_completed_by_the_next(stage: Stage) -> None:
    named = ("--model", "digits", "--known-as", "killed")
    started: list[subprocess.Popen[bytes]] = []
    uploads = count()

    def in_the_second_version(asked: str) -> bool:
        return asked.startswith("PUT") and next(uploads) == 15

    with line_to(stage.server.address, in_the_second_version, lambda: started[0].kill()) as line:
        environment = {**stage.server.environment(), "IMPRIMATUR_SERVER": line.address}
        started.append(
            subprocess.Popen([*_MODULE, *stage.importing(*named)], env=environment, stderr=subprocess.DEVNULL)
        )
        ended = started[0].wait(60)
    status, _ = stage.take(*named)

    taken = stage.taken("killed")
    assert (ended, status) == (-signal.SIGKILL, 0)
    assert len(taken["runs"]) == len(taken["remembered"]) == 2
    assert taken["registered"] == len(taken["versions"]) == 3


def test_two_imports_at_once_double_nothing(stage: Stage) -> None:
    command = [*_MODULE, *stage.importing("--known-as", "twice", "--model", "notes")]
    both = [
        subprocess.Popen(command, env=stage.server.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    reports = [json.loads(process.communicate(timeout=60)[0]) for process in both]

    taken = stage.taken("twice")
    assert [process.returncode for process in both] == [0, 0], reports
    assert taken["runs"] == taken["remembered"] == [stage.old.runs["alone"]]
    assert taken["registered"] == len(taken["versions"]) == 2


def test_what_cannot_be_read_is_named_and_the_rest_is_taken(stage: Stage, tmp_path: Path) -> None:
    copy = _copy_of(stage.old, tmp_path)
    with copy.client() as client:
        client.create_registered_model("broken")
        client.create_model_version("broken", "file:///no/such/folder")
        client.create_model_version("broken", "mlflow-artifacts:/1/x/artifacts")
        client.create_model_version("broken", "mlflow-artifacts://127.0.0.1:1/x")
        client.create_model_version("broken", f"runs:/{copy.runs['alone']}/model", copy.runs["alone"])

    status, report = stage.take("--model", "broken", source=copy.uri)

    versions = report["versions"]
    assert status == 1
    assert [version["source"] for version in versions] == [f"broken/{number}" for number in (1, 2, 3, 4)]
    assert [version["outcome"] for version in versions] == [*["failed"] * 3, "imported but can't be sealed"]
    assert [version["code"] for version in versions] == [
        "no-artifacts",
        "artifacts-unreadable",
        "foreign-artifacts",
        "no-weights",
    ]


def test_a_version_that_was_made_anew_in_the_source_is_another_one(stage: Stage, tmp_path: Path) -> None:
    copy = _copy_of(stage.old, tmp_path)
    named = ("--known-as", "anew", "--model", "notes")
    stage.take(*named, source=copy.uri)
    with copy.client() as client:
        client.delete_registered_model("notes")
        client.create_registered_model("notes")
        client.create_model_version("notes", f"runs:/{copy.runs['alone']}/model", copy.runs["alone"])

    _, report = stage.take(*named, source=copy.uri)

    assert [(version["source"], version["outcome"]) for version in report["versions"]] == [
        ("notes/1", "imported but can't be sealed")
    ]


def test_a_version_that_was_deleted_here_is_taken_again_when_asked(stage: Stage) -> None:
    named = ("--known-as", "deleted", "--model", "notes")
    _, report = stage.take(*named)
    first = report["versions"][0]["imported_as"].rpartition("/")[2]
    stage.mlflow().ask(lambda client: client.delete_model_version("notes", first))

    status, report = stage.take(*named)

    assert status == 0
    assert [version["outcome"] for version in report["versions"]] == ["imported but can't be sealed", "already there"]
    assert report["versions"][0]["imported_as"] != f"notes/{first}"


def test_an_alias_that_another_version_has_here_is_left_where_it_is(stage: Stage) -> None:
    held = "SELECT version FROM registered_model_aliases WHERE alias = 'steady'"
    (before,) = stage.rows(held)

    _, report = stage.take("--known-as", "taken alias", "--model", "notes")

    assert report["versions"][1]["left_out"] == [f"alias steady: already at version {before}"]
    assert stage.rows(held) == [before]


def test_only_makers_import(stage: Stage) -> None:
    refused = stage.take("--known-as", "reviewer", person="ben")

    assert refused == (1, "not-permitted")
    assert stage.taken("reviewer")["runs"] == []


def test_a_version_that_no_import_made_gets_no_past(stage: Stage) -> None:
    body = {
        "model": "digits",
        "version": 1,
        "origin": {"source": "elsewhere", "model": "digits", "version": 1, "created_at": 1},
        "stage": "Production",
        "aliases": [],
        "approved_aliases": ["production"],
    }
    with stage.server.http() as http:
        answer = http.post("/api/v1/imports/versions", json=body)
        unknown = http.post("/api/v1/imports/runs", json={"source": "x", "source_run": "y", "run": "0" * 32})

    assert (answer.status_code, answer.json()["code"]) == (403, "not-imported")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "no-such-run")
    assert [stage.events(f"{noun}.import.refused")[0].actor for noun in ("version", "run")] == ["ana", "ana"]


def test_the_server_does_not_import_from_itself(stage: Stage) -> None:
    assert stage.take(source=stage.server.address + "/") == (2, "same-server")


def test_a_login_file_of_mlflow_does_not_go_to_our_server(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / ".mlflow").mkdir()
    (tmp_path / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = ana\nmlflow_tracking_password = secret\n"
    )

    assert stage.take(HOME=str(tmp_path)) == (2, "mlflow-login-file")


def test_a_tracking_server_is_asked_with_its_own_token_and_never_with_ours(
    stage: Stage, tmp_path: Path, saved_once: Path
) -> None:
    with serving_registry(tmp_path) as other, line_to(other.address, lambda asked: False) as line:
        with variables({"MLFLOW_TRACKING_URI": other.address}):
            run = Connection("other", other.address, {"MLFLOW_TRACKING_TOKEN": other.tokens["ana"]}).ask(
                lambda client: _log_far(client, saved_once)
            )
        good = stage.take("--known-as", "far", source=line.address, MLFLOW_TRACKING_TOKEN=other.tokens["ben"])
        bad = stage.take(source=line.address, MLFLOW_TRACKING_TOKEN=stage.server.tokens["ana"])

    assert bad == (1, "mlflow-refused")
    status, report = good
    assert status == 0, report
    assert [version["outcome"] for version in report["versions"]] == ["imported", "imported"]
    assert [version["mark"] for version in report["versions"]] == list(Mark)
    assert run in stage.taken("far")["runs"]
    assert [asked for asked in line.seen if not asked.startswith("GET") and not asked.endswith("/search")] == []


def _log_far(client: MlflowClient, saved: Path) -> str:
    """A run with two versions, of its own files and of a logged model's, in a server that serves artifacts."""
    run = client.create_run(client.create_experiment("far")).info
    client.log_artifacts(run.run_id, str(saved), "pipeline")
    client.set_terminated(run.run_id)
    client.create_registered_model("far")
    client.create_model_version("far", f"{run.artifact_uri}/pipeline", run.run_id)
    model = client.create_logged_model(run.experiment_id, name="pipeline", source_run_id=run.run_id).model_id
    client.log_model_artifacts(model, str(saved))
    client.finalize_logged_model(model, "READY")
    client.create_model_version("far", f"models:/{model}", run.run_id, model_id=model)
    client.set_registered_model_alias("far", "champion", "1")
    return str(run.run_id)


def _copy_of(old: OldMlflow, folder: Path) -> OldMlflow:
    """The same MLflow in another file, to be worked on; its artifacts stay where they are."""
    shutil.copy(old.home / "mlflow.db", folder)
    return OldMlflow(folder, f"sqlite:///{folder}/mlflow.db", old.runs)
