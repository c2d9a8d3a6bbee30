"""An import's source: what it is called, what its past is worth, and that reading changes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from alembic import command
from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.db import utils as mlflow_schema
from mlflow.store.tracking.dbmodels.initial_models import Base as FirstTables
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError

from imprimatur.core.errors import BadInput, Fault, ImprimaturError, Refused
from imprimatur.registry.importing.address import Address
from imprimatur.registry.importing.model import Mark, SourceModel, SourceVersion, VersionKey, mark_of
from imprimatur.registry.importing.source import Source, quoted
from old_mlflow import fill

_OF_2023 = "acf3f17fdcc7"


@pytest.mark.parametrize(
    ("stage", "aliases", "approved", "mark"),
    [
        ("Production", [], ["champion"], Mark.APPROVED_BEFORE),
        ("staging", [], [], Mark.APPROVED_BEFORE),
        ("Archived", [], ["champion"], Mark.NOT_EVALUATED),
        ("None", ["candidate", "CHAMPION"], ["champion"], Mark.APPROVED_BEFORE),
        ("None", ["champion"], ["blessed"], Mark.NOT_EVALUATED),
        ("", [], [], Mark.NOT_EVALUATED),
    ],
)
def test_a_mark_follows_from_stage_and_aliases(stage: str, aliases: list[str], approved: list[str], mark: Mark) -> None:
    assert mark_of(stage, aliases, approved) is mark


_KEYS = st.builds(VersionKey, st.text(max_size=9), st.text(max_size=9), st.integers(0, 99), st.integers(0, 1 << 52))


@given(_KEYS, _KEYS)
def test_versions_share_a_key_only_where_they_are_the_same(one: VersionKey, other: VersionKey) -> None:
    assert (one.digest == other.digest) == (one == other)
    assert (one.folder == other.folder) == (one == other)


def test_aliases_belong_to_their_versions() -> None:
    model = SourceModel("digits", "", {}, {"b": 1, "a": 1, "c": 2})

    assert [model.aliases_of(version) for version in (1, 2, 3)] == [("a", "b"), ("c",), ()]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("http://Old.example:80/", "http://old.example"),
        ("https://old.example:8443/mlflow/", "https://old.example:8443/mlflow"),
        ("https://zoe:pa%20ss@old.example", "https://old.example"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("postgresql+psycopg://zoe:secret@Db/mlflow", "postgresql://db:5432/mlflow"),
        ("postgresql://db:5433/mlflow?sslmode=require", "postgresql://db:5433/mlflow"),
    ],
)
def test_a_source_has_one_name_and_no_password_in_it(text: str, name: str) -> None:
    address = Address.parse(text)

    assert address.name == name
    assert "secret" not in repr(address)
    assert "ss@" not in repr(address)


def test_who_reads_may_stand_in_the_address() -> None:
    address = Address.parse("https://zoe:pa%20ss@old.example")

    assert address.uri == "https://old.example"
    assert address.login == {"MLFLOW_TRACKING_USERNAME": "zoe", "MLFLOW_TRACKING_PASSWORD": "pa ss"}


def test_a_file_has_one_name_however_it_is_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)

    names = {Address.parse(f"sqlite:///{name}").name for name in ("mlflow.db", "link.db", f"{tmp_path}/mlflow.db")}

    assert names == {f"sqlite:///{tmp_path.resolve()}/mlflow.db"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mlruns",
        "file:///tmp/mlruns",
        "databricks",
        "mysql://db/mlflow",
        "http://",
        "http://old:x",
        "http://old?a=b",
    ],
)
def test_what_is_no_mlflow_to_read_from_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        Address.parse(text)
    assert refusal.value.code == "bad-import-source"


@pytest.mark.parametrize("text", ["sqlite:///no-such-file.db", "sqlite://", "sqlite:///:memory:"])
def test_a_database_file_is_there_or_refused(text: str) -> None:
    with pytest.raises(BadInput) as refusal:
        Address.parse(text)
    assert refusal.value.code == "no-such-file"


def test_names_are_quoted_for_mlflows_filters() -> None:
    assert [quoted(name) for name in ("digits", "it's", 'a"b')] == ["'digits'", '"it\'s"', "'a\"b'"]
    with pytest.raises(Refused):
        quoted("'\"")


@pytest.mark.parametrize(("content", "said"), [(b"no database" * 99, "SQLite"), (b"", "no MLflow database")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "other.db").write_bytes(content)

    with pytest.raises(Refused, match=said) as refusal:
        Source(Address.parse(f"sqlite:///{tmp_path}/other.db"), "other", tmp_path)
    assert refusal.value.code == "bad-source-database"


def _database_of_2023(uri: str) -> None:
    """A database as MLflow 2 left it, with one run in it."""
    engine = create_engine(uri)
    FirstTables.metadata.create_all(engine)
    with engine.begin() as connection:
        config = mlflow_schema._get_alembic_config(uri)
        config.attributes["connection"] = connection
        command.upgrade(config, _OF_2023)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (7, 'early', 'active')")
        )
        connection.execute(
            text(
                "INSERT INTO runs (run_uuid, experiment_id, name, user_id, status, start_time, end_time, "
                "lifecycle_stage, source_type, artifact_uri) "
                f"VALUES ('{'a' * 32}', 7, 'old', 'zoe', 'FINISHED', 5, 6, 'active', 'LOCAL', '/x')"
            )
        )
        connection.execute(text(f"INSERT INTO params (key, value, run_uuid) VALUES ('depth', '3', '{'a' * 32}')"))
    engine.dispose()


def test_an_older_file_is_read_from_a_copy_that_is_brought_up_to_date(tmp_path: Path) -> None:
    file = tmp_path / "early.db"
    _database_of_2023(f"sqlite:///{file}")
    before = file.read_bytes()
    (tmp_path / "scratch").mkdir()

    source = Source(Address.parse(f"sqlite:///{file}"), "early", tmp_path / "scratch")

    (experiment,) = source.experiments(["early"])
    ((run,),) = source.runs(experiment)
    assert (run.id, run.params, run.status, run.ended_at) == ("a" * 32, {"depth": "3"}, "FINISHED", 6)
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["early.db", "scratch"]


def test_a_file_of_a_later_mlflow_is_refused(tmp_path: Path) -> None:
    _database_of_2023(f"sqlite:///{tmp_path}/later.db")
    engine = create_engine(f"sqlite:///{tmp_path}/later.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'ffffffffffff'"))
    engine.dispose()
    (tmp_path / "scratch").mkdir()

    with pytest.raises(Refused) as refusal:
        Source(Address.parse(f"sqlite:///{tmp_path}/later.db"), "later", tmp_path / "scratch")
    assert refusal.value.code == "source-schema"


def test_an_older_postgres_is_not_brought_up_to_date(fresh_postgres_url: str, tmp_path: Path) -> None:
    _database_of_2023(fresh_postgres_url)

    with pytest.raises(Refused, match=f"schema is at {_OF_2023}") as refusal:
        Source(Address.parse(fresh_postgres_url), "early", tmp_path)
    assert refusal.value.code == "source-schema"


def test_a_postgres_is_read_in_sessions_that_cannot_write(fresh_postgres_url: str, tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "note.txt").write_text("x")
    old = fill(tmp_path / "old", tmp_path / "saved", fresh_postgres_url)
    address = Address.parse(fresh_postgres_url)
    source = Source(address, address.name, tmp_path)

    runs = [run.id for experiment in source.experiments() for page in source.runs(experiment) for run in page]
    digits, faces, notes = source.models()
    versions = {model.name: [v for page in source.versions(model) for v in page] for model in (digits, faces, notes)}
    (tmp_path / "files").mkdir()
    source.download(versions["notes"][0], tmp_path / "files")

    assert sorted(runs) == sorted(old.runs.values())
    assert len(source.history(old.runs["run"], "loss")) == 1_200
    assert [[v.key.version for v in found] for found in versions.values()] == [[1, 2, 3], [1, 3], [1, 2]]
    assert versions["it's faces"][0].stage == "Staging"
    assert digits.aliases == {"candidate": 1, "Champion": 2}
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["note.txt"]
    engine = create_engine(address.uri)
    with engine.connect() as connection, pytest.raises(DatabaseError, match="read-only"):
        connection.execute(text("UPDATE runs SET name = 'other'"))
    engine.dispose()


@contextmanager
def _server_that_says(answers: dict[str, object]) -> Iterator[str]:
    """The address of an MLflow server that answers each path with what it is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = json.dumps(answers.get(path, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": path})).encode()
            self.send_response(200 if path in answers else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's names)
            """Say nothing."""

    with _listening(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port at which ``handler`` answers."""
    listening = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield listening.server_port
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _version_at(location: str) -> SourceVersion:
    return SourceVersion(VersionKey("far", "digits", 1, 1), location, "", "None", "", {})


@pytest.mark.parametrize(
    "place",
    [
        "file:///etc",
        "/etc",
        "C:/etc",
        "fi\nle:///etc",
        "dbfs:/etc",
        "runs:/0123/../..",
        "RUNS:/0123/x",
        "runs:0123",
        "models:/m-1",
        "MODELS:/m-1",
    ],
)
def test_a_server_cannot_have_files_of_this_machine_taken(place: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    answers: dict[str, object] = {
        "/api/2.0/mlflow/runs/get": {"run": {"info": {"run_id": "0123", "artifact_uri": "/etc/x"}}},
        "/api/2.0/mlflow/logged-models/m-1": {"model": {"info": {"model_id": "m-1", "artifact_uri": "file:///etc"}}},
    }
    with _server_that_says(answers) as address, pytest.raises(Refused) as refusal:
        Source(Address.parse(address), "far", tmp_path).download(_version_at(place), tmp_path / "files")

    assert refusal.value.code == "local-artifacts"
    assert list((tmp_path / "files").iterdir()) == []


@contextmanager
def _who_asks() -> Iterator[tuple[int, list[str]]]:
    """A port, and every request's line and credentials that come to it."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path} {self.headers.get('Authorization')}")
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the standard library's names)
            """Say nothing."""

    with _listening(Handler) as port:
        yield port, heard


_ARTIFACTS = "api/2.0/mlflow-artifacts/artifacts/x"


@pytest.mark.parametrize(
    "place",
    [
        f"http://127.0.0.1:PORT/{_ARTIFACTS}",
        f"HTTP://127.0.0.1:PORT/{_ARTIFACTS}",
        f"https://127.0.0.1:PORT/{_ARTIFACTS}",
        f"http://OWN@127.0.0.1:PORT/{_ARTIFACTS}",
        f"http://127.0.0.1:PORT\\@OWN/{_ARTIFACTS}",
        f"http://127.0.0.1:PORT#@OWN/{_ARTIFACTS}",
        f"http://127.0.0.1:PORT\n@OWN/{_ARTIFACTS}",
        f"http://localhost:OWN_PORT/{_ARTIFACTS}",
        f"http:/{_ARTIFACTS}",
        "mlflow-artifacts://127.0.0.1:PORT/x",
        "MLFLOW-ARTIFACTS://127.0.0.1:PORT/x",
        "mlflow-artifacts://127.0.0.1/x",
        "mlflow-artifacts://OWN@127.0.0.1:PORT/x",
    ],
)
def test_a_sources_token_goes_to_no_other_host(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "files").mkdir()
    with _server_that_says({}) as address, _who_asks() as (port, heard):
        own = address.removeprefix("http://")
        place = place.replace("OWN_PORT", own.partition(":")[2]).replace("OWN", own).replace("PORT", str(port))
        source = Source(Address.parse(address), "far", tmp_path)
        with pytest.raises(Refused) as refusal:
            source.download(_version_at(place), tmp_path / "files")

    assert refusal.value.code == "foreign-artifacts"
    assert heard == []


@pytest.mark.parametrize(
    "place", ["mlflow-artifacts:/x", "mlflow-artifacts://OWN/x", f"http://OWN/{_ARTIFACTS}", f"HTTP://OWN/{_ARTIFACTS}"]
)
def test_a_source_may_name_places_of_its_own(place: str, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    listing = {"files": [{"path": "note.txt", "is_dir": False, "file_size": 2}]}
    answers: dict[str, object] = {
        "/api/2.0/mlflow-artifacts/artifacts": listing,
        f"/{_ARTIFACTS}/note.txt": "x",
    }
    with _server_that_says(answers) as address:
        place = place.replace("OWN", address.removeprefix("http://"))
        Source(Address.parse(address), "far", tmp_path).download(_version_at(place), tmp_path / "files")

    assert (tmp_path / "files" / "note.txt").read_text() == '"x"'


def test_a_databases_places_get_no_token_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    _database_of_2023(f"sqlite:///{tmp_path}/early.db")
    for folder in ("files", "scratch"):
        (tmp_path / folder).mkdir()
    source = Source(Address.parse(f"sqlite:///{tmp_path}/early.db"), "early", tmp_path / "scratch")

    with _who_asks() as (port, heard), pytest.raises(Refused) as refusal:
        source.download(_version_at(f"http://127.0.0.1:{port}/{_ARTIFACTS}"), tmp_path / "files")

    assert refusal.value.code == "foreign-artifacts"
    assert heard == []


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("models:/digits/1", "no-artifacts"),
        ("nowhere://x/y", "local-artifacts"),
        ("ftp://127.0.0.1:1/x", "artifacts-unreadable"),
        ("runs:/gone/x", "not-in-mlflow"),
        ("http://[x", "bad-location"),
        ("http://\N{ACCOUNT OF}/x", "bad-location"),
    ],
)
def test_places_that_lead_nowhere_are_refused(place: str, code: str, tmp_path: Path) -> None:
    answers: dict[str, object] = {
        "/api/2.0/mlflow/registered-models/get": {"registered_model": {"name": "digits"}},
        "/api/2.0/mlflow/model-versions/get-download-uri": {"artifact_uri": place},
    }
    (tmp_path / "files").mkdir()
    with _server_that_says(answers) as address, pytest.raises(ImprimaturError) as refusal:
        Source(Address.parse(address), "far", tmp_path).download(_version_at(place), tmp_path / "files")
    assert refusal.value.code == code


def test_a_version_whose_run_is_gone_is_where_the_registry_says(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    answers: dict[str, object] = {
        "/api/2.0/mlflow/registered-models/get": {"registered_model": {"name": "digits"}},
        "/api/2.0/mlflow/model-versions/get-download-uri": {"artifact_uri": "file:///etc"},
    }
    with _server_that_says(answers) as address, pytest.raises(Refused) as refusal:
        Source(Address.parse(address), "far", tmp_path).download(_version_at("runs:/gone/x"), tmp_path / "files")
    assert refusal.value.code == "local-artifacts"


def test_a_server_that_does_not_answer_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with _server_that_says({}) as address:
        pass

    with pytest.raises(Fault) as fault:
        list(Source(Address.parse(address), "far", tmp_path).experiments())
    assert fault.value.code == "source-unreachable"
