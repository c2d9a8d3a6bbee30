"""The governed store on SQLite and PostgreSQL: rule, MLflow's work and event are one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException
from sqlalchemy import text

from imprimatur.access.http import current_principal
from imprimatur.access.model import Principal
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.errors import BadInput, Fault, Refused
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.costs.service import Ledger
from imprimatur.registry import store
from imprimatur.registry.governed import law
from imprimatur.registry.governed.store import GovernedStore
from imprimatur.registry.governed.tracking import GovernedTracking
from imprimatur.registry.provenance import ModelSigner
from imprimatur.registry.service import Registry
from imprimatur.storage.service import SealedStore

_RUN = "f" * 32


@dataclass(frozen=True)
class Governed:
    """A governed store over a fresh database, and what lies beneath."""

    mlflow: GovernedStore
    registry: Registry

    @property
    def actions(self) -> list[str]:
        """What happened, newest first."""
        return [event.action for event in self.registry.log.recent()]


@pytest.fixture
def governed(governed_url: str, settings: Settings, ana: Principal) -> Iterator[Governed]:
    """The store as ``ana`` uses it, with two versions of ``digits``."""
    database = Database(governed_url)
    log = AuditLog(database)
    ledger = Ledger(database, log.clock, Rates(0.2, 2.5, "EUR"))
    registry = Registry(
        log, SealedStore(settings.sealed), ledger, settings.artifacts, ModelSigner.at(settings.model_private)
    )
    made = GovernedStore(governed_url, registry, ("staging", "production"))
    with _as(ana):
        made.create_registered_model("digits")
        for _ in range(2):
            made.create_model_version("digits", f"mlflow-artifacts:/1/{_RUN}/artifacts/pipeline", _RUN)
        yield Governed(made, registry)
    made.engine.dispose()
    database.dispose()


@contextmanager
def _as(principal: Principal | None) -> Iterator[None]:
    reset = current_principal.set(principal)
    try:
        yield
    finally:
        current_principal.reset(reset)


def test_versions_are_written_down_with_who_and_where_from(governed: Governed) -> None:
    version = governed.registry.version("digits", 2)

    assert (version.registered_by, version.team, version.run_id) == ("ana", "imaging", _RUN)
    assert version.source == f"mlflow-artifacts:/1/{_RUN}/artifacts/pipeline"
    assert governed.actions == ["version.registered", "version.registered", "model.created"]


def test_an_ordinary_life(governed: Governed) -> None:
    governed.mlflow.update_registered_model("digits", "numbers")
    governed.mlflow.set_registered_model_alias("digits", "champion", 1)
    governed.mlflow.set_model_version_tag("digits", 1, ModelVersionTag("note", "x"))
    governed.mlflow.transition_model_version_stage("digits", 1, "Archived", False)
    governed.mlflow.delete_model_version("digits", 1)
    governed.mlflow.rename_registered_model("digits", "numbers")

    assert governed.registry.models() == ["numbers"]
    assert [version.version for version in governed.registry.versions("numbers")] == [2]
    governed.mlflow.delete_registered_model("numbers")
    assert governed.registry.models() == []
    assert governed.actions[:7] == [
        "model.deleted",
        "model.renamed",
        "version.deleted",
        "version.staged",
        "version.tagged",
        "alias.set",
        "model.updated",
    ]


def test_a_model_deleted_and_made_again_has_another_version_one(governed: Governed) -> None:
    first = governed.registry.version("digits", 1)
    governed.mlflow.delete_registered_model("digits")
    governed.mlflow.create_registered_model("digits")
    governed.mlflow.create_model_version("digits", first.source, _RUN)

    assert governed.registry.version("digits", 1).id != first.id
    assert governed.registry.version_by_id(first.id) == first


def test_a_second_model_of_the_name_is_refused_as_mlflow_does(governed: Governed) -> None:
    with pytest.raises(MlflowException) as refusal:
        governed.mlflow.create_registered_model("digits")

    assert refusal.value.error_code == "RESOURCE_ALREADY_EXISTS"


def test_what_fails_in_mlflow_changes_nothing(governed: Governed) -> None:
    before = governed.actions

    with pytest.raises(MlflowException, match="not found"):
        governed.mlflow.set_registered_model_alias("digits", "champion", 99)

    assert governed.actions == before


def test_a_held_version_stays_as_it_is(governed: Governed) -> None:
    version = governed.registry.version("digits", 1)
    with governed.registry.log.database.transaction() as session:
        store.place_hold(session, version.id, "production", governed.registry.log.clock())

    for attempt in (
        lambda: governed.mlflow.delete_model_version("digits", 1),
        lambda: governed.mlflow.delete_registered_model("digits"),
        lambda: governed.mlflow.rename_registered_model("digits", "numbers"),
        lambda: governed.mlflow.transition_model_version_stage("digits", 1, "Archived", False),
    ):
        with pytest.raises(MlflowException, match="held-version") as refusal:
            attempt()
        assert refusal.value.get_http_status_code() == 403
    governed.mlflow.set_model_version_tag("digits", 2, ModelVersionTag("note", "x"))
    assert governed.registry.version("digits", 1) == version


def test_nobody_changes_anything(governed: Governed) -> None:
    with _as(None), pytest.raises(MlflowException, match="login-required") as refusal:
        governed.mlflow.set_registered_model_alias("digits", "champion", 1)

    assert refusal.value.get_http_status_code() == 401
    assert governed.actions[0] == "alias.set.refused"


def test_a_write_without_a_rule_is_refused(governed: Governed) -> None:
    """A webhook is a write that MLflow's store knows and we do not."""
    with pytest.raises(MlflowException, match="ungoverned-write"):
        governed.mlflow.delete_webhook("any")


def test_what_a_trigger_refuses_is_refused_in_our_words_and_on_record(governed: Governed) -> None:
    """An environment that only the triggers know of: the database is the second depth."""
    careless = GovernedStore(governed.mlflow.db_uri, governed.registry, ())

    with pytest.raises(MlflowException, match=r"database-refused.*protected-alias"):
        careless.set_registered_model_alias("digits", "production", 1)

    assert governed.actions[0] == "alias.set.refused"
    with governed.registry.log.database.reading() as session:
        assert session.execute(text("SELECT count(*) FROM registered_model_aliases")).scalar() == 0


@pytest.mark.parametrize(
    "alias", ["production", "Production", "STAGING", "\N{FULLWIDTH LATIN SMALL LETTER S}taging", "staging\n"]
)
def test_environments_are_closed_in_every_spelling(alias: str) -> None:
    with pytest.raises(Refused):
        law.refuse_protected_alias(("staging", "production"), "digits", alias)
    with pytest.raises(Refused):
        law.refuse_protected_stage((), "digits", "1", f" {alias} ")


@pytest.mark.parametrize("alias", ["champion", "prod", "pre-production", "production2"])
def test_other_aliases_are_open(alias: str) -> None:
    law.refuse_protected_alias(("staging", "production"), "digits", alias)


@pytest.mark.parametrize("version", [1, "1", "12", "999999999"])
def test_a_version_is_a_plain_number(version: object) -> None:
    assert law.version_number(version) == int(str(version))


@given(st.one_of(st.text(), st.from_regex(r"\s*[+-]?[\d_]+\s*"), st.integers(), st.none(), st.booleans()))
def test_no_version_has_two_spellings(version: object) -> None:
    with suppress(BadInput):
        assert str(law.version_number(version)) == str(version)


@pytest.mark.parametrize("name", ["digits", "it's faces", "\N{LATIN SMALL LETTER U WITH DIAERESIS}bung", "a.b_c-d"])
def test_names_that_are_read_as_they_are_written_are_free(name: str) -> None:
    law.refuse_unclear_name(name)


@pytest.mark.parametrize(
    "name", ["", " digits", "digits ", "digits\n", "dig\u200bits", "\u202edigits", "a\u00a0b", "a\0b"]
)
def test_names_that_look_like_others_are_refused(name: str) -> None:
    with pytest.raises(BadInput) as refusal:
        law.refuse_unclear_name(name)
    assert refusal.value.code == "bad-model-name"


def test_what_was_refused_stands_readable_in_the_log(governed: Governed) -> None:
    with pytest.raises(MlflowException, match="bad-model-name"):
        governed.mlflow.create_registered_model("dig\0its" * 200)

    event = governed.registry.log.recent(limit=1)[0]
    assert event.action == "model.create.refused"
    assert event.subject.isprintable()


@pytest.fixture
def tracking(governed: Governed) -> Iterator[GovernedTracking]:
    """The governed tracking store over the same database."""
    made = GovernedTracking(governed.mlflow.db_uri, "mlflow-artifacts:/", governed.registry.log)
    yield made
    made.engine.dispose()


def test_a_database_of_our_own_sends_nobody_elsewhere(tracking: GovernedTracking) -> None:
    tracking.create_experiment("digits")

    tracking.require_own_places()


@pytest.mark.parametrize(
    "place", ["mlflow-artifacts:////evil.example/x", "mlflow-artifacts:/../x", "HTTP://evil.example/x", "https://x"]
)
def test_a_database_that_sends_clients_elsewhere_is_not_served(tracking: GovernedTracking, place: str) -> None:
    experiment = tracking.create_experiment("digits")
    with tracking.engine.begin() as connection:
        row = {"place": place, "id": int(experiment)}
        connection.execute(text("UPDATE experiments SET artifact_location = :place WHERE experiment_id = :id"), row)

    with pytest.raises(Fault, match="experiment digits at ") as fault:
        tracking.require_own_places()
    assert fault.value.code == "foreign-places"


@pytest.mark.parametrize("key", ["mlflow.artifactLocation", "mlflow.trace.archiveLocation"])
def test_a_trace_whose_files_are_elsewhere_is_not_served(tracking: GovernedTracking, key: str) -> None:
    trace = tracking.deprecated_start_trace_v2("0", 1, {}, {})
    row = {"trace": trace.request_id, "key": key}
    with tracking.engine.begin() as connection:
        connection.execute(text("DELETE FROM trace_tags WHERE request_id = :trace AND key = :key"), row)
        connection.execute(
            text("INSERT INTO trace_tags (key, value, request_id) VALUES (:key, 'file:///etc', :trace)"), row
        )

    with pytest.raises(Fault, match=f"trace {trace.request_id} at 'file:///etc'"):
        tracking.require_own_places()


def test_reserved_keys_are_ours(governed: Governed) -> None:
    def tag(key: str) -> Any:
        return governed.mlflow.set_model_version_tag("digits", 1, ModelVersionTag(key, "x"))

    tag("imprimaturs")
    with pytest.raises(MlflowException, match="reserved-tag"):
        tag("Imprimatur.sealed")
