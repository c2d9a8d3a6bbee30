"""A real MLflow client, raw HTTP and our commands against a real server: refused, unchanged, and on record."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.registry import store
from imprimatur.storage.service import SealedStore
from registry_server import RegistryServer, serving_registry

_LOG_TWO_VERSIONS = """
import json, sys, mlflow
client = mlflow.MlflowClient()
experiment = client.create_experiment("digits")
for _ in range(2):
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, name="pipeline", source_run_id=run).model_id
    client.log_model_artifacts(model, sys.argv[1])
    client.finalize_logged_model(model, "READY")
    mlflow.register_model(f"models:/{model}", "digits")
print(json.dumps({"run": run, "experiment": experiment, "model": model}))
"""

_TRY = """
import json, sys, mlflow
client = mlflow.MlflowClient()
try:
    eval(sys.argv[1])
    print(json.dumps({"done": True}))
except mlflow.exceptions.MlflowException as error:
    print(json.dumps({"done": False, "status": error.get_http_status_code(), "message": str(error)}))
"""


_TRACE = "tr-0123456789abcdef"


def _trace(trace_id: str, tags: dict[str, str]) -> dict[str, object]:
    """What MLflow's clients begin a trace with."""
    info = {
        "trace_id": trace_id,
        "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}},
        "request_time": "2026-01-01T00:00:00Z",
        "state": "OK",
        "tags": tags,
    }
    return {"trace": {"trace_info": info}}


@dataclass(frozen=True)
class Stage:
    """The server with two versions of ``digits``, of which version 1 is sealed and held by production."""

    server: RegistryServer
    run: str
    experiment: str
    logged: str
    database: Database

    def attempt(self, code: str, person: str = "ana") -> Any:
        """What an unchanged MLflow client of ``person`` gets for ``code``."""
        return self.server.run(_TRY, code, person=person)

    def state(self) -> object:
        """Everything that a refused change must leave as it is."""
        with self.server.http() as http:
            experiments = http.get("/api/2.0/mlflow/experiments/search", params={"max_results": 100}).json()
            trace = http.get(f"/api/3.0/mlflow/traces/{_TRACE}").json()
            model = http.get("/api/2.0/mlflow/registered-models/get", params={"name": "digits"}).json()
            versions = http.get(
                "/api/2.0/mlflow/model-versions/search", params={"filter": "name='digits'", "max_results": 10}
            ).json()
            ours = http.get("/api/v1/models/digits/versions").json()
        return experiments, trace, model, versions, ours

    def events(self) -> list[tuple[str, str, str]]:
        """Who did what to what, newest first."""
        return [(event.actor, event.action, event.subject) for event in AuditLog(self.database).recent(limit=500)]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, saved_once: Path) -> Iterator[Stage]:
    """The stage, set once for this module: every test leaves it as it was."""
    home = tmp_path_factory.mktemp("governed")
    with serving_registry(home) as server:
        logged = server.run(_LOG_TWO_VERSIONS, str(saved_once))
        with server.http() as http:
            http.post("/api/v1/models/digits/versions/1/seal").raise_for_status()
            http.post("/api/3.0/mlflow/traces", json=_trace(_TRACE, {})).raise_for_status()
        database = Database(server.settings.database)
        _release(database)
        yield Stage(server, logged["run"], logged["experiment"], logged["model"], database)
        database.dispose()


def _release(database: Database) -> None:
    """What the release room does for version 1, without the decision that its row would refer to."""
    with database.reading() as session:
        row = store.version_row(session, "digits", 1)
        assert row is not None
        held = store.version_of(row)
    values = ("rel-1", "dec-1", held.id, "digits", 1, held.manifest_digest, "production", "olga", "2026-11-23 06:30:00")
    with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute(
            "INSERT INTO imp_release (id, decision_id, version_id, model, version, manifest_digest, environment, "
            "released_by, released_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )
    with database.transaction() as session:
        store.place_hold(session, held.id, "production", datetime.now(UTC))
        store.set_alias(session, "digits", "production", 1)


REFUSED = [
    ("client.set_registered_model_alias('digits', 'production', 2)", "protected-alias", "alias.set.refused"),
    ("client.set_registered_model_alias('digits', 'PRODUCTION', 2)", "protected-alias", "alias.set.refused"),
    ("client.set_registered_model_alias('digits', 'staging', 1)", "protected-alias", "alias.set.refused"),
    ("client.set_registered_model_alias('digits', 'staging\\n', 1)", "protected-alias", "alias.set.refused"),
    (
        "client.set_registered_model_alias('digits', '\\N{FULLWIDTH LATIN SMALL LETTER P}roduction', 2)",
        "protected-alias",
        "alias.set.refused",
    ),
    ("client.delete_registered_model_alias('digits', 'production')", "protected-alias", "alias.delete.refused"),
    ("client.transition_model_version_stage('digits', 2, 'Production')", "protected-stage", "version.stage.refused"),
    ("client.transition_model_version_stage('digits', 2, 'staging')", "protected-stage", "version.stage.refused"),
    ("client.transition_model_version_stage('digits', 1, 'Archived')", "held-version", "version.stage.refused"),
    ("client.delete_model_version('digits', '1')", "held-version", "version.delete.refused"),
    ("client.delete_registered_model('digits')", "held-version", "model.delete.refused"),
    ("client.rename_registered_model('digits', 'numbers')", "held-version", "model.rename.refused"),
    ("client.set_model_version_tag('digits', '1', 'note', 'x')", "held-version", "version.tag.refused"),
    ("client.update_model_version('digits', '1', 'other words')", "held-version", "version.update.refused"),
    ("client.set_model_version_tag('digits', '2', 'imprimatur.sealed', 'x')", "reserved-tag", "version.tag.refused"),
    ("client.set_registered_model_tag('digits', 'Imprimatur.x', 'x')", "reserved-tag", "model.tag.refused"),
    ("client.create_model_version('digits', 's3://bucket/model')", "bad-source", "version.register.refused"),
    ("client.create_model_version('digits', 'dbfs:/model')", "bad-source", "version.register.refused"),
]


@pytest.mark.parametrize("person", ["ana", "root"])
def test_every_way_around_is_refused_and_on_record(stage: Stage, person: str) -> None:
    before, recorded = stage.state(), len(stage.events())
    script = "import json\nanswers = []\n" + "".join(
        f"try:\n    {code}\n    answers.append('done')\n"
        "except mlflow.exceptions.MlflowException as error:\n"
        "    answers.append([error.get_http_status_code(), str(error)])\n"
        for code, *_ in REFUSED
    )

    answers = stage.server.run(
        f"import mlflow\nclient = mlflow.MlflowClient()\n{script}print(json.dumps(answers))", person=person
    )

    for (code, expected, _), answer in zip(REFUSED, answers, strict=True):
        assert answer != "done", code
        assert answer[0] == httpx.codes.FORBIDDEN, answer
        assert f"PERMISSION_DENIED: {expected}: " in answer[1]
    assert stage.state() == before
    events = stage.events()
    refusals = [(actor, action) for actor, action, _ in events[: len(events) - recorded]]
    assert refusals == [(person, action) for *_, action in reversed(REFUSED)]


def test_the_refusal_names_the_command_to_use(stage: Stage) -> None:
    answer = stage.attempt("client.set_registered_model_alias('digits', 'production', 2)")

    assert answer["message"] == (
        "PERMISSION_DENIED: protected-alias: 'production' of 'digits' is set by "
        "`imprimatur promote digits/2 --to production` only"
    )


@pytest.mark.parametrize(
    "source", ["file:///etc", "/etc", "https://example.org/m", "mlflow-artifacts:/../../etc", "models:/m-" + "0" * 32]
)
def test_sources_that_mlflow_itself_refuses_stay_refused(stage: Stage, source: str) -> None:
    before = stage.state()
    with stage.server.http() as http:
        answer = http.post("/api/2.0/mlflow/model-versions/create", json={"name": "digits", "source": source})

    assert answer.status_code in (400, 403, 404)
    assert stage.state() == before


@dataclass(frozen=True)
class Way:
    """A raw request that goes around the law, and what it is refused with."""

    method: str
    path: str
    body: dict[str, object]
    code: str
    event: str
    status: int = httpx.codes.FORBIDDEN


def _experiment_at(location: str) -> Way:
    body: dict[str, object] = {"name": "elsewhere", "artifact_location": location}
    return Way("POST", "/api/2.0/mlflow/experiments/create", body, "bad-location", "experiment.create.refused")


def _traces_that_name(key: str) -> list[Way]:
    begun: dict[str, object] = {"experiment_id": "0", "timestamp_ms": 1, "request_metadata": []}
    ended: dict[str, object] = {"timestamp_ms": 2, "status": "OK", "request_metadata": []}
    tags = {"tags": [{"key": key, "value": "http://127.0.0.1:1/x"}]}
    code = "reserved-trace-tag"
    return [
        Way(
            "POST",
            "/api/3.0/mlflow/traces",
            _trace("tr-new", {key: "http://127.0.0.1:1/x"}),
            code,
            "trace.start.refused",
        ),
        Way("POST", "/api/2.0/mlflow/traces", {**begun, **tags}, code, "trace.start.refused"),
        Way("PATCH", f"/api/2.0/mlflow/traces/{_TRACE}", {**ended, **tags}, code, "trace.end.refused"),
    ]


def _version_spelled(version: str) -> list[Way]:
    versions = "/api/2.0/mlflow/model-versions"
    named: dict[str, object] = {"name": "digits", "version": version}
    stage: dict[str, object] = {"stage": "Archived", "archive_existing_versions": False}
    ways: list[tuple[str, str, dict[str, object], str]] = [
        ("PATCH", f"{versions}/update", {"description": "other words"}, "version.update.refused"),
        ("POST", f"{versions}/set-tag", {"key": "note", "value": "x"}, "version.tag.refused"),
        ("DELETE", f"{versions}/delete-tag", {"key": "note"}, "version.untag.refused"),
        ("POST", f"{versions}/transition-stage", stage, "version.stage.refused"),
        ("DELETE", f"{versions}/delete", {}, "version.delete.refused"),
        ("POST", "/api/2.0/mlflow/registered-models/alias", {"alias": "champion"}, "alias.set.refused"),
    ]
    return [Way(method, path, {**named, **body}, "bad-version", event, 400) for method, path, body, event in ways]


def _model_named(name: str) -> list[Way]:
    models = "/api/2.0/mlflow/registered-models"
    renaming: dict[str, object] = {"name": "digits", "new_name": name}
    return [
        Way("POST", f"{models}/create", {"name": name}, "bad-model-name", "model.create.refused", 400),
        Way("POST", f"{models}/rename", renaming, "bad-model-name", "model.rename.refused", 400),
    ]


_PLACES = ("file:///etc", "mlflow-artifacts:////127.0.0.1:1/x", "mlflow-artifacts:/../x", "mlflow-artifacts:/1")
_LOCATION_TAGS = (
    "mlflow.artifactLocation",
    "mlflow.trace.spansLocation",
    "mlflow.trace.archiveLocation",
    "mlflow.trace.archivalFailure",
)
_TAGGED: dict[str, object] = {"key": "mlflow.artifactLocation", "value": "http://127.0.0.1:1/x"}
RAW = [
    *map(_experiment_at, _PLACES),
    *(way for key in _LOCATION_TAGS for way in _traces_that_name(key)),
    *(
        Way("PATCH", f"/api/{api}/mlflow/traces/{_TRACE}/tags", _TAGGED, "reserved-trace-tag", "trace.tag.refused")
        for api in ("2.0", "3.0")
    ),
    *(
        way
        for spelled in ("+1", " 1", "0_1", "01", "1\n", "\N{FULLWIDTH DIGIT ONE}")
        for way in _version_spelled(spelled)
    ),
    *(way for name in ("digits\n", " digits", "dig\u200bits", "\u202edigits") for way in _model_named(name)),
]


@pytest.mark.parametrize("person", ["ana", "root"])
def test_every_raw_way_around_is_refused_and_on_record(stage: Stage, person: str) -> None:
    before, recorded = stage.state(), len(stage.events())
    with stage.server.http(person) as http:
        answers = [(way, http.request(way.method, way.path, json=way.body)) for way in RAW]

    wrong = [
        (way, answer.status_code, answer.text)
        for way, answer in answers
        if answer.status_code != way.status or way.code not in answer.text
    ]
    assert wrong == []
    assert stage.state() == before
    events = stage.events()
    refusals = [(actor, action) for actor, action, _ in events[: len(events) - recorded]]
    assert refusals == [(person, way.event) for way in reversed(RAW)]


@pytest.mark.parametrize("version", ["+1", " 1", "0_1", "01", "1\n", "\N{FULLWIDTH DIGIT ONE}"])
def test_a_version_in_another_spelling_does_not_lead_to_the_runs_bytes(stage: Stage, version: str) -> None:
    asked = {"name": "digits", "version": version}
    with stage.server.http() as http:
        uri = http.get("/api/2.0/mlflow/model-versions/get-download-uri", params=asked)
        file = http.get("/mlflow/model-versions/get-artifact", params={**asked, "path": "MLmodel"})

    assert (uri.status_code, file.status_code) == (400, 422)
    assert "bad-version" in uri.json()["message"]
    assert file.json()["code"] == "bad-version"


def test_a_trace_does_not_have_the_server_read_or_delete_other_files(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "traces.pb").write_bytes(b"not a trace")
    tags = {"mlflow.trace.spansLocation": "ARCHIVE_REPO", "mlflow.trace.archiveLocation": tmp_path.as_uri()}
    with stage.server.http() as http:
        begun = http.post("/api/3.0/mlflow/traces", json=_trace("tr-outside", tags))
        read = http.get("/api/3.0/mlflow/traces/tr-outside")
        deleted = [
            http.post(f"/api/{api}/mlflow/traces/delete-traces", json={"experiment_id": "0", **named})
            for api, named in (("2.0", {"request_ids": ["tr-outside"]}), ("3.0", {"request_ids": ["tr-outside"]}))
        ]

    assert begun.status_code == httpx.codes.FORBIDDEN
    assert read.status_code == httpx.codes.NOT_FOUND
    assert [answer.json().get("traces_deleted", 0) for answer in deleted] == [0, 0]
    assert (tmp_path / "traces.pb").read_bytes() == b"not a trace"


def test_traces_and_experiments_without_a_place_of_their_own_work_as_ever(stage: Stage) -> None:
    script = """
import json, mlflow
client = mlflow.MlflowClient()
experiment = client.create_experiment("traced")
mlflow.set_experiment(experiment_id=experiment)
with mlflow.start_span("draw") as span:
    span.set_inputs("one")
mlflow.flush_trace_async_logging()
trace = mlflow.get_trace(span.trace_id)
client.set_trace_tag(span.trace_id, "note", "x")
client.delete_traces(experiment, trace_ids=[span.trace_id])
location = client.get_experiment(experiment).artifact_location
client.delete_experiment(experiment)
print(json.dumps([[found.name for found in trace.data.spans], location == f"mlflow-artifacts:/{experiment}"]))
"""
    assert stage.server.run(script) == [["draw"], True]


@pytest.mark.parametrize("person", ["ben", "olga"])
def test_who_may_not_register_does_not_write_a_runs_artifacts(stage: Stage, person: str) -> None:
    place = f"/api/2.0/mlflow-artifacts/artifacts/{_place_of(stage)}/MLmodel"
    with stage.server.http(person) as http:
        before = http.get(place)
        answers = [
            http.request(method, f"{prefix}{place}", content=b"other words")
            for prefix in ("", "/mlflow")
            for method in ("PUT", "DELETE", "POST", "PATCH")
        ]
        after = http.get(place)

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "not-permitted")] * 8
    assert (after.status_code, after.content) == (before.status_code, before.content) == (200, before.content)
    assert [event[:2] for event in stage.events()[:8]] == [(person, "artifact.write.refused")] * 8


@pytest.mark.parametrize("location", ["mlflow-artifacts://127.0.0.1:1/x", "http://127.0.0.1:1/x", "s3://bucket/x"])
def test_experiments_go_to_no_other_host(stage: Stage, location: str) -> None:
    before = stage.state()
    body = {"name": "elsewhere", "artifact_location": location}
    with stage.server.http() as http:
        answer = http.post("/api/2.0/mlflow/experiments/create", json=body)

    assert answer.status_code in (400, 403)
    assert stage.state() == before


def test_raw_http_is_refused_under_both_prefixes(stage: Stage) -> None:
    before = stage.state()
    body = {"name": "digits", "alias": "production", "version": "2"}
    prefixes = ("/api", "/ajax-api", "/mlflow/api", "/mlflow/ajax-api")
    with stage.server.http("root") as http:
        answers = [http.post(f"{prefix}/2.0/mlflow/registered-models/alias", json=body) for prefix in prefixes]

    assert [answer.status_code for answer in answers] == [403] * len(prefixes)
    assert all(answer.json()["error_code"] == "PERMISSION_DENIED" for answer in answers)
    assert stage.state() == before


def test_unprotected_aliases_tags_and_versions_work_as_ever(stage: Stage) -> None:
    script = """
import json, sys, mlflow
client = mlflow.MlflowClient()
client.set_registered_model_alias("digits", "champion", 2)
client.set_model_version_tag("digits", "2", "note", "x")
found = client.get_model_version_by_alias("digits", "champion")
client.delete_registered_model_alias("digits", "champion")
client.delete_model_version_tag("digits", "2", "note")
made = client.create_model_version("digits", "models:/" + sys.argv[1], model_id=sys.argv[1])
client.delete_model_version("digits", made.version)
print(json.dumps([found.version, found.tags, found.run_id, made.version]))
"""
    before = stage.state()

    version, tags, run, made = stage.server.run(script, stage.logged)

    assert (version, tags, run, made) == ("2", {"note": "x"}, stage.run, "3")
    assert [event[1] for event in stage.events()[:6]] == [
        "version.deleted",
        "version.registered",
        "version.untagged",
        "alias.deleted",
        "version.tagged",
        "alias.set",
    ]
    assert stage.state() != before  # MLflow counts the deleted version as its newest
    with stage.server.http() as http:
        ours = http.get("/api/v1/models/digits/versions").json()["versions"]
    assert [version["version"] for version in ours] == [2, 1]


def test_an_operator_may_track_but_not_register(stage: Stage) -> None:
    answer = stage.attempt("client.create_registered_model('other')", person="olga")

    assert "PERMISSION_DENIED: not-permitted: olga may not register" in answer["message"]
    assert ("olga", "model.create.refused", "other") in stage.events()


_LOAD_SEALED = """
import hashlib, json, sys, mlflow
from pathlib import Path
folder = Path(mlflow.artifacts.download_artifacts("models:/digits@production", dst_path=sys.argv[1]))
files = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
drawn = mlflow.pyfunc.load_model("models:/digits@production").predict(["one"], params={"steps": 1})
print(json.dumps([{path: hashlib.sha256(file.read_bytes()).hexdigest() for path, file in files.items()}, len(drawn)]))
"""


def test_what_mlflows_clients_load_is_what_was_sealed_whatever_became_of_the_run(stage: Stage, tmp_path: Path) -> None:
    with stage.server.http() as http:
        manifest = http.get("/api/v1/models/digits/versions/1/manifest").json()
        weights = max(manifest["files"], key=lambda file: file["size"])["path"]
        run = f"/api/2.0/mlflow-artifacts/artifacts/{_place_of(stage)}"
        original = http.get(f"{run}/{weights}").content
        http.put(f"{run}/{weights}", content=b"other weights").raise_for_status()
        http.delete(f"{run}/pipeline/model_index.json").raise_for_status()

        loaded, drawn = stage.server.run(_LOAD_SEALED, str(tmp_path))
        asked = {"name": "digits", "version": "1", "path": weights}
        shown = http.get("/mlflow/model-versions/get-artifact", params=asked)

        http.put(f"{run}/{weights}", content=original).raise_for_status()
        index = next(file for file in manifest["files"] if file["path"] == "pipeline/model_index.json")
        blob = http.get(f"/api/v1/models/digits/versions/1/blobs/{index['digest']}").content
        http.put(f"{run}/pipeline/model_index.json", content=blob).raise_for_status()

    assert drawn == 1
    assert hashlib.sha256(shown.content).hexdigest() == hashlib.sha256(original).hexdigest()
    sealed = {file["path"]: file["digest"].removeprefix("sha256:") for file in manifest["files"]}
    assert {path: digest for path, digest in loaded.items() if path in sealed} == {
        **sealed,
        "MLmodel": loaded["MLmodel"],  # MLflow notes beside it where it came from
    }


def _place_of(stage: Stage) -> str:
    with stage.database.reading() as session:
        row = store.version_row(session, "digits", 1)
        assert row is not None
        return row.source.removeprefix("mlflow-artifacts:/")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("path", ["", "/sha256/{hex}", "/sha256/{hex}/MLmodel", "/other"])
def test_nothing_is_written_below_the_sealed_bytes(stage: Stage, method: str, path: str) -> None:
    with stage.server.http() as http:
        digest = http.get("/api/v1/models/digits/versions/1").json()["manifest_digest"]
        place = f"/api/2.0/mlflow-artifacts/artifacts/sealed{path}".replace("{hex}", digest.removeprefix("sha256:"))
        answer = http.request(method, place, content=b"x")
        case = http.request(method, place.replace("/sealed", "/Sealed"), content=b"x")

    for refused in (answer, case):
        assert (refused.status_code, refused.json()["code"]) == (403, "sealed-bytes")
    assert stage.events()[0][:2] == ("ana", "sealed.write.refused")
    assert not (stage.server.settings.artifacts / "sealed").exists()


def test_what_is_not_sealed_is_not_there(stage: Stage) -> None:
    with stage.server.http() as http:
        digest = http.get("/api/v1/models/digits/versions/1").json()["manifest_digest"].removeprefix("sha256:")
        answers = [
            http.get(f"/api/2.0/mlflow-artifacts/artifacts/sealed{path}")
            for path in (f"/sha256/{digest}/no.such", f"/sha256/{'0' * 64}/MLmodel", "/x", "")
        ]

    assert [answer.status_code for answer in answers] == [404] * 4


def test_sealing_reads_lineage_and_charges_the_training(stage: Stage) -> None:
    with stage.server.http() as http:
        version = http.get("/api/v1/models/digits/versions/1").json()
        verified = http.get("/api/v1/models/digits/versions/1/verify").json()
    with stage.database.reading() as session:
        (usage,) = session.connection().exec_driver_sql("SELECT reference, seconds, version FROM imp_usage").all()

    assert version["lineage"]["code_commit"] == "c0ffee"
    assert version["lineage"]["missing"] == []
    assert version["registered_by"] == "ana"
    assert verified["manifest"] == version["manifest_digest"]
    assert verified["differing"] == []
    assert tuple(usage) == (f"run:{version['lineage']['run_id']}", 36.0, 1)
    assert ("ana", "version.sealed", "digits/1") in stage.events()


def test_a_bin_file_in_the_logged_model_is_refused_and_nothing_is_stored(stage: Stage) -> None:
    path = f"/api/2.0/mlflow-artifacts/artifacts/{stage.experiment}/models/{stage.logged}/artifacts/pipeline/unet/x.bin"
    sealed = SealedStore(stage.server.settings.sealed)
    before = sealed.manifests()
    with stage.server.http() as http:
        http.put(path, content=b"\x80\x04K\x01.").raise_for_status()
        answer = http.post("/api/v1/models/digits/versions/2/seal")
        http.delete(path).raise_for_status()

    assert (answer.status_code, answer.json()["code"]) == (403, "pickle-file")
    assert "'pipeline/unet/x.bin'" in answer.json()["detail"]
    assert sealed.manifests() == before
    assert ("ana", "version.seal.refused", "digits/2") in stage.events()


@pytest.mark.parametrize(
    "path",
    [
        "/ajax-api/3.0/mlflow/assistant/config",
        "/api/3.0/mlflow/gateway/secrets/list",
        "/api/3.0/mlflow/gateway/endpoints/list",
        "/ajax-api/2.0/mlflow/gateway-proxy",
        "/gateway/any/mlflow/invocations",
        "/ajax-api/3.0/jobs/1",
        "/ajax-api/3.0/mlflow/jobs/1",
        "/api/3.0/mlflow/mcp-servers",
        "/api/2.0/mlflow/webhooks",
        "/api/3.0/mlflow/scorers/list",
        "/api/3.0/mlflow/workspaces",
        "/ajax-api/2.0/mlflow/users/current",
        "/ajax-api/3.0/mlflow/ui-telemetry",
        "/api/2.0/mlflow-artifacts/presigned/1/a",
        "/api/2.0/mlflow/runs/create-promptlab-run",
        "/graphql",
        "/v1/traces",
        "/health",
        "/no-such-page",
        "/mlflow//ajax-api/2.0/mlflow/webhooks",
        "/mlflow/./ajax-api/2.0/mlflow/webhooks",
        "/api/2.0/mlflow/runs/%2e%2e/webhooks",
        "/api/2.0/mlflow/runs/..%2fwebhooks",
        "/api/2.0/mlflow/logged-models/x%252f..%252f..",
        "/api/2.0/mlflow/logged-models/../webhooks",
        "//api/2.0/mlflow/experiments/search",
        "/API/2.0/mlflow/experiments/search",
        "/mlflow/mlflow/",
    ],
)
def test_route_families_that_are_not_ours_answer_404(stage: Stage, path: str) -> None:
    headers = {"Authorization": f"Bearer {stage.server.tokens['root']}"}
    address = httpx.URL(stage.server.address)
    raw = httpx.URL(scheme="http", host=address.host, port=address.port, raw_path=path.encode())
    with httpx.Client(headers=headers) as http:
        answers = [http.get(raw), http.post(raw, json={})]

    assert [answer.status_code for answer in answers] == [404, 404]
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)


def test_mlflows_pages_scripts_and_calls_are_reachable_below_mlflow(stage: Stage) -> None:
    with stage.server.http("ben") as http:
        page = http.get("/mlflow/")
        script = page.text.split('src="', 1)[1].split('"', 1)[0]
        answers = [
            http.get("/mlflow", follow_redirects=True),
            http.get(f"/mlflow/{script}"),
            http.get("/mlflow/ajax-api/2.0/mlflow/experiments/search", params={"max_results": 5}),
            http.post("/mlflow/ajax-api/2.0/mlflow/runs/search", json={"experiment_ids": [stage.experiment]}),
            http.get("/mlflow/ajax-api/2.0/mlflow/registered-models/search"),
            http.get(f"/mlflow/ajax-api/2.0/mlflow/logged-models/{stage.logged}"),
            http.post("/mlflow/graphql", json={"query": 'query { test(inputString: "x") { output } }'}),
        ]

    assert "connect-src 'self'" in page.headers["content-security-policy"]
    assert [answer.status_code for answer in answers] == [200] * len(answers)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ('mutation { testMutation(inputString: "x") { output } }', 403, "mutation"),
        ('query { a: __typename } mutation { testMutation(inputString: "x") { output } }', 403, "mutation"),
        ("nothing", 422, "bad-query"),
        ("{" * 3000, 422, "bad-query"),
    ],
)
def test_graphql_only_reads(stage: Stage, query: str, status: int, code: str) -> None:
    with stage.server.http() as http:
        answer = http.post("/mlflow/graphql", json={"query": query})

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_logged_page_does_not_run_as_one_of_ours(stage: Stage) -> None:
    place = f"/api/2.0/mlflow-artifacts/artifacts/{stage.experiment}/{stage.run}/artifacts/page.html"
    with stage.server.http() as http:
        http.put(place, content=b"<script>alert(1)</script>").raise_for_status()
        shown = http.get("/mlflow/get-artifact", params={"path": "page.html", "run_uuid": stage.run})
        listed = http.get(place)

    for answer in (shown, listed):
        assert answer.status_code == httpx.codes.OK
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_nobody_in_particular_gets_nothing(stage: Stage) -> None:
    answer = httpx.get(f"{stage.server.address}/api/2.0/mlflow/experiments/search")

    assert answer.status_code == httpx.codes.UNAUTHORIZED


_RUN_COMMANDS = """
import json, sys
from typer.testing import CliRunner
from imprimatur.core.errors import ImprimaturError
from imprimatur.registry.commands import app
results = []
for arguments in json.loads(sys.argv[1]):
    ran = CliRunner().invoke(app, arguments)
    error = ran.exception if isinstance(ran.exception, ImprimaturError) else None
    assert error or ran.exit_code in (0, 1), (arguments, ran.output)
    results.append([error.exit_status if error else ran.exit_code, error.code if error else ran.stdout])
print(json.dumps(results))
"""


def _commands(stage: Stage, *commands: list[str]) -> Any:
    """Exit status of each command, and what it printed or the code that it was refused with."""
    return stage.server.run(_RUN_COMMANDS, json.dumps(commands))


def test_commands_register_verify_submit_and_export(stage: Stage, saved_once: Path, tmp_path: Path) -> None:
    use = tmp_path / "use.yaml"
    use.write_text(
        "purpose: teaching\nprohibited: [forgery]\naudience: pupils\nregion: EU\ntier: minimal\nowner: ana\n"
        "review_by: '2099-01-01'\n"
    )

    results = _commands(
        stage,
        ["register", str(saved_once), "--name", "faces", "--json"],
        ["verify", "faces/1", "--json"],
        ["submit", "faces/1", "--use", str(use), "--json"],
        ["export", "faces/1", "--to", str(tmp_path / "out"), "--json"],
        ["verify", "--layout", str(tmp_path / "out"), "--key", str(stage.server.settings.keys / "model.pub"), "--json"],
        ["show", "faces/1", "--json"],
        ["register", f"runs:/{stage.run}/pipeline", "--name", "numbers", "--json"],
        ["list", "--json"],
    )

    assert [status for status, _ in results] == [0] * 8
    registered, verified, submitted, exported, alone, shown, from_run, listed = (json.loads(t) for _, t in results)
    digest = registered["manifest_digest"]
    assert verified["differing"] == []
    assert submitted["manifest_digest"] == digest
    assert exported["manifest"] == digest
    assert (alone["manifest"], alone["differing"], alone["signed"]) == (digest, [], True)
    assert SealedStore(tmp_path / "out").verify(digest) == ()
    assert shown["submission"]["use"]["purpose"] == "teaching"
    assert shown["lineage"]["code_commit"] == "c0ffee"
    assert (from_run["model"], from_run["run_id"]) == ("numbers", stage.run)
    assert listed["models"] == ["digits", "faces", "numbers"]


def test_commands_end_with_the_status_of_the_refusal(stage: Stage) -> None:
    results = _commands(
        stage,
        ["show", "nothing/1"],
        ["show", "digits/99"],
        ["show", "digits"],
        ["verify", "digits/2"],
        ["register", "/no/such/folder", "--name", "x"],
        ["submit", "digits/1", "--use", "/no/such/file"],
    )

    assert results == [
        [1, "no-such-model"],
        [1, "no-such-version"],
        [2, "bad-version"],
        [1, "not-sealed"],
        [2, "no-such-folder"],
        [2, "no-such-file"],
    ]


def test_a_changed_byte_of_a_sealed_file_is_named(stage: Stage) -> None:
    sealed = SealedStore(stage.server.settings.sealed)
    with stage.server.http() as http:
        manifest = http.get("/api/v1/models/digits/versions/1/manifest").json()
        (file,) = [file for file in manifest["files"] if file["path"].endswith("unet/config.json")]
        blob = sealed.blob_path(file["digest"])
        right = blob.read_bytes()
        blob.chmod(0o644)
        blob.write_bytes(right.replace(b"8", b"9", 1))
        answer = http.get("/api/v1/models/digits/versions/1/verify").json()
        blob.write_bytes(right)

    ((status, _),) = _commands(stage, ["verify", "digits/1"])
    assert answer["differing"] == [file["path"]]
    assert status == 0


def test_calling_a_model_a_prompt_exempts_it_from_nothing(stage: Stage) -> None:
    models = "/api/2.0/mlflow/registered-models"
    tag = {"name": "digits", "key": "mlflow.prompt.is_prompt"}
    alias = {"name": "digits", "alias": "production"}
    with stage.server.http() as http:
        http.post(f"{models}/set-tag", json={**tag, "value": "true"}).raise_for_status()
        before = stage.state()
        answers = [
            http.post(f"{models}/alias", json={**alias, "version": "2"}),
            http.request("DELETE", f"{models}/alias", json=alias),
            http.post(f"{models}/rename", json={"name": "digits", "new_name": "prompts"}),
            http.request("DELETE", f"{models}/delete", json={"name": "digits"}),
        ]
        after = stage.state()
        http.request("DELETE", f"{models}/delete-tag", json=tag).raise_for_status()

    assert [answer.status_code for answer in answers] == [403] * 4
    assert after == before


def test_what_anybody_logs_about_a_run_is_no_evidence(stage: Stage) -> None:
    script = """
import sys, mlflow
client = mlflow.MlflowClient()
for name in ("fid", "score.fid", "similarity/digits-clip"):
    client.log_metric(sys.argv[1], name, 0.0)
client.finalize_logged_model(sys.argv[2], "READY")
client.set_tag(sys.argv[1], "approved", "yes")
print("null")
"""
    with stage.server.http() as http:
        before = http.get("/api/v1/models/digits/versions/1").json()
        stage.server.run(script, stage.run, stage.logged)
        assert http.get("/api/v1/models/digits/versions/1").json() == before
    with stage.database.reading() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM imp_score").scalar_one() == 0
