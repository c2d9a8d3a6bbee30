"""The registry's use cases: who may, what is refused, what is written down."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from imprimatur.access.model import Principal
from imprimatur.api.app import build_app
from imprimatur.api.sealing import _keep_sealing, seal_waiting
from imprimatur.api.wiring import House
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.errors import BadInput, Forbidden, ImprimaturError, NotFound, Refused
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Kind, Rates
from imprimatur.costs.service import Ledger
from imprimatur.registry import store
from imprimatur.registry.flavor import load_sealed
from imprimatur.registry.model import Lineage, RiskTier, Use, Version
from imprimatur.registry.provenance import ModelSigner, require_signed
from imprimatur.registry.service import Registry
from imprimatur.registry.sources import artifact_folder
from imprimatur.storage.service import SealedStore
from signed_bundles import wait_until

_MODEL_ID = "m-" + "a" * 32
_SOURCE = f"mlflow-artifacts:/1/models/{_MODEL_ID}/artifacts"
USE = Use(
    purpose="teaching",
    prohibited=("forgery",),
    audience="pupils",
    region="EU",
    tier=RiskTier.MINIMAL,
    owner="ana",
    review_by=date(2099, 1, 1),
)


@pytest.fixture
def registry(governed_sqlite_url: str, settings: Settings, saved_once: Path) -> Iterator[Registry]:
    """A registry whose MLflow has version 1 of ``digits``, not sealed yet."""
    database = Database(governed_sqlite_url)
    log = AuditLog(database)
    ledger = Ledger(database, log.clock, Rates(0.2, 2.5, "EUR"))
    made = Registry(
        log, SealedStore(settings.sealed), ledger, settings.artifacts, ModelSigner.at(settings.model_private)
    )
    shutil.copytree(saved_once, settings.artifacts / f"1/models/{_MODEL_ID}/artifacts")
    with database.transaction() as session:
        session.execute(text("INSERT INTO registered_models (name) VALUES ('digits')"))
    _mlflow_version(made, 1, _SOURCE)
    yield made
    database.dispose()


def _mlflow_version(registry: Registry, version: int, source: str) -> None:
    row = {"version": version, "source": source}
    with registry.log.database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO model_versions (name, version, source, storage_location, current_stage) "
                "VALUES ('digits', :version, :source, :source, 'None')"
            ),
            row,
        )


def _actions(registry: Registry) -> list[str]:
    return [event.action for event in registry.log.recent()]


def _copied(registry: Registry) -> list[str]:
    return sorted(path.name for path in (registry.sealed.root / "blobs" / "sha256").iterdir())


def test_sealing_stores_the_bytes_and_the_lineage_and_charges_once(registry: Registry, ana: Principal) -> None:
    sealed = registry.seal(ana, "digits", 1)
    again = registry.seal(ana, "digits", 1)

    assert again == sealed == registry.version("digits", 1) == registry.version_by_id(sealed.id)
    assert sealed.manifest_digest is not None
    assert registry.verify("digits", 1) == ()
    assert sealed.lineage["code_commit"] == "c0ffee"
    assert _actions(registry) == ["version.sealed", "version.registered"]
    ledger = Ledger(registry.log.database, registry.log.clock, Rates(0.2, 2.5, "EUR"))
    assert ledger.of_version("digits", 1)[Kind.TRAINING] == pytest.approx(36 / 3600 * 0.2)


def test_only_makers_seal_and_submit(registry: Registry, ana: Principal, ben: Principal) -> None:
    with pytest.raises(Forbidden):
        registry.seal(ben, "digits", 1)
    registry.seal(ana, "digits", 1)
    with pytest.raises(Forbidden):
        registry.submit(ben, "digits", 1, USE)

    assert _actions(registry)[0] == "version.submit.refused"
    assert _actions(registry)[-1] == "version.seal.refused"


@pytest.mark.parametrize(
    ("model", "version", "code"), [("nothing", 1, "no-such-model"), ("digits", 2, "no-such-version")]
)
def test_what_is_not_there_is_not_found(
    registry: Registry, ana: Principal, model: str, version: int, code: str
) -> None:
    registry.seal(ana, "digits", 1)
    for attempt in (registry.version, registry.verify, lambda m, v: registry.seal(ana, m, v)):
        with pytest.raises(NotFound) as refusal:
            attempt(model, version)
        assert refusal.value.code == code


def test_a_pickle_is_refused_and_nothing_is_stored(registry: Registry, ana: Principal, settings: Settings) -> None:
    (settings.artifacts / f"1/models/{_MODEL_ID}/artifacts/pipeline/unet/model.bin").write_bytes(b"x")

    with pytest.raises(Refused, match=r"model\.bin"):
        registry.seal(ana, "digits", 1)

    assert registry.version("digits", 1).manifest_digest is None
    assert _copied(registry) == []
    assert _actions(registry) == ["version.seal.refused", "version.registered"]


def test_a_lineage_of_another_form_is_refused(registry: Registry, ana: Principal, settings: Settings) -> None:
    path = settings.artifacts / f"1/models/{_MODEL_ID}/artifacts/MLmodel"
    path.write_text(path.read_text().replace("seconds: 36.0", "seconds: -1"))

    with pytest.raises(BadInput) as refusal:
        registry.seal(ana, "digits", 1)

    assert refusal.value.code == "bad-lineage"
    assert _copied(registry) == []


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc",
        "/etc",
        "s3://bucket/model",
        "mlflow-artifacts://host/1/models/x/artifacts",
        "mlflow-artifacts:/1/models/../../etc/artifacts",
        f"mlflow-artifacts:/1/models/{_MODEL_ID}/artifacts/../../..",
        f"mlflow-artifacts:/1/models/{_MODEL_ID}/artifacts/%2e%2e",
        f"mlflow-artifacts:/1/models/{_MODEL_ID}/artifacts#/../x",
        f"mlflow-artifacts:/1/models/{_MODEL_ID}",
        "mlflow-artifacts:/",
        "",
    ],
)
def test_a_source_that_is_no_artifact_of_ours_is_refused(registry: Registry, ana: Principal, source: str) -> None:
    _mlflow_version(registry, 2, source)

    with pytest.raises(Refused) as refusal:
        registry.seal(ana, "digits", 2)

    assert refusal.value.code == "bad-source"


def test_a_linked_artifact_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "artifacts" / "1" / "models").mkdir(parents=True)
    (tmp_path / "artifacts" / "1" / "models" / _MODEL_ID).symlink_to("/etc")

    with pytest.raises(Refused) as refusal:
        artifact_folder(tmp_path / "artifacts", _SOURCE)
    assert refusal.value.code == "bad-source"


def test_a_version_without_files_is_refused(registry: Registry, ana: Principal) -> None:
    _mlflow_version(registry, 2, _SOURCE.replace("aaaa", "bbbb"))

    with pytest.raises(Refused) as refusal:
        registry.seal(ana, "digits", 2)
    assert refusal.value.code == "no-artifacts"


def test_a_version_made_anew_behind_our_back_gets_an_id_of_its_own(registry: Registry, ana: Principal) -> None:
    with registry.log.unit_of_work("ana", "version.register", "digits/1") as unit:
        first = registry.record_version(unit, ana, "digits", 1)
    with registry.log.database.transaction() as session:
        changed = _SOURCE.replace("aaaa", "bbbb")
        session.execute(text(f"UPDATE model_versions SET source = '{changed}', storage_location = '{changed}'"))

    with registry.log.unit_of_work("ana", "version.register", "digits/1") as unit:
        second = registry.record_version(unit, ana, "digits", 1)

    assert second.id != first.id
    assert registry.version("digits", 1) == second
    assert registry.version_by_id(first.id) == first


def test_submitting_names_the_bytes_and_the_use(registry: Registry, ana: Principal) -> None:
    sealed = registry.seal(ana, "digits", 1)

    made = registry.submit(ana, "digits", 1, USE)
    other = registry.submit(ana, "digits", 1, replace(USE, region="CH"))

    assert (made.manifest_digest, made.use, made.submitted_by) == (sealed.manifest_digest, USE, "ana")
    assert registry.submission(made.id) == made
    assert registry.latest_submission(sealed.id) == other
    assert registry.submit(ana, "digits", 1, dict(other.use.document())) == other
    assert _actions(registry)[:2] == ["version.submitted", "version.submitted"]


def test_what_is_not_sealed_is_not_submitted(registry: Registry, ana: Principal) -> None:
    with registry.log.unit_of_work("ana", "version.register", "digits/1") as unit:
        registry.record_version(unit, ana, "digits", 1)

    with pytest.raises(Refused) as refusal:
        registry.submit(ana, "digits", 1, USE)
    assert refusal.value.code == "not-sealed"


@pytest.mark.parametrize(
    ("change", "code", "found"),
    [
        ({"purpose": ""}, "incomplete-use", "purpose"),
        ({"prohibited": [], "owner": None}, "incomplete-use", "prohibited, owner"),
        ({"tier": "harmless"}, "bad-use", "harmless"),
        ({"review_by": "tomorrow"}, "bad-use", "tomorrow"),
        ({"review_by": "2020-01-01"}, "bad-use", "has passed"),
        ({"prohibited": "forgery"}, "bad-use", "prohibited"),
        ({"prohibited": [1]}, "bad-use", "prohibited"),
        ({"colour": "red"}, "bad-use", "colour"),
        ({"purpose": 1}, "bad-use", "purpose"),
    ],
)
def test_an_incomplete_use_is_refused_part_by_part(
    registry: Registry, ana: Principal, change: dict[str, Any], code: str, found: str
) -> None:
    registry.seal(ana, "digits", 1)

    with pytest.raises(BadInput, match=found) as refusal:
        registry.submit(ana, "digits", 1, {**USE.document(), **change})

    assert refusal.value.code == code
    assert _actions(registry)[0] == "version.submit.refused"


def test_pages_of_versions_come_newest_first(registry: Registry, ana: Principal) -> None:
    for version in range(2, 8):
        _mlflow_version(registry, version, _SOURCE)
    with registry.log.unit_of_work("ana", "version.register", "digits") as unit:
        for version in range(1, 8):
            registry.record_version(unit, ana, "digits", version)

    assert [version.version for version in registry.versions("digits", limit=3)] == [7, 6, 5]
    assert [version.version for version in registry.versions("digits", limit=3, before=5)] == [4, 3, 2]
    assert registry.models() == ["digits"]


def test_a_hold_lasts_until_it_is_lifted(registry: Registry, ana: Principal) -> None:
    version = registry.seal(ana, "digits", 1)
    with registry.log.database.transaction() as session:
        store.place_hold(session, version.id, "production", registry.log.clock())
        store.place_hold(session, version.id, "production", registry.log.clock())
        assert store.holds(session, "digits") == store.holds(session, "digits", 1) == ["production"]
        assert store.holds(session, "digits", 2) == []
        store.lift_hold(session, version.id, "production")
        assert store.holds(session, "digits") == []


def test_aliases_are_set_moved_and_removed_in_the_callers_transaction(registry: Registry) -> None:
    _mlflow_version(registry, 2, _SOURCE)
    with registry.log.database.transaction() as session:
        store.set_alias(session, "digits", "champion", 1)
        store.set_alias(session, "digits", "champion", 2)
        assert store.alias_version(session, "digits", "champion") == 2
        store.delete_alias(session, "digits", "champion")
        assert store.alias_version(session, "digits", "champion") is None


@pytest.mark.parametrize(
    "document",
    [
        {"seconds": float("nan")},
        {"seconds": True},
        {"cost": "12"},
        {"device": 1},
        {"code_commit": "\ud800"},
        {"notes": ["\ud800"]},
        {"notes": 2**60},
        {"datasets": [{"name": "x"}]},
        {"datasets": "x"},
    ],
)
def test_a_lineage_with_parts_of_another_form_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ImprimaturError) as refusal:
        Lineage.parse(document)
    assert refusal.value.code == "bad-lineage"


def test_a_lineage_survives_its_document(lineage: Lineage) -> None:
    assert Lineage.parse(lineage.document()) == lineage


_SERVER_MODULES = """
import sys
sys.modules.update(dict.fromkeys(["torch", "diffusers", "transformers", "open_clip", "faiss"]))
import imprimatur.registry.commands, imprimatur.registry.flavor, imprimatur.registry.routes
import imprimatur.registry.governed.store, imprimatur.registry.governed.tracking
import mlflow.server.handlers
"""


def test_the_server_side_imports_without_torch() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _SERVER_MODULES]

    assert subprocess.run(command, capture_output=True, text=True, check=False).stderr == ""


_STOCK_STORE = """
import sys
from pathlib import Path
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.errors import Fault
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.costs.service import Ledger
from imprimatur.registry.governed import mlflow_app
from imprimatur.registry.provenance import ModelSigner
from imprimatur.registry.service import Registry
from imprimatur.storage.service import SealedStore
from mlflow.server import handlers
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore
from mlflow.tracking.registry import StoreRegistry

settings = Settings(home=Path(sys.argv[1]))

class Stock(handlers.ModelRegistryStoreRegistryWrapper):
    def register(self, scheme, builder):
        StoreRegistry.register(self, scheme, lambda store_uri: SqlAlchemyStore(settings.database))

handlers.ModelRegistryStoreRegistryWrapper = Stock
database = Database(settings.database)
ledger = Ledger(database, utc_now, Rates(0.2, 2.5, "EUR"))
try:
    signer = ModelSigner.at(settings.model_private)
    registry = Registry(AuditLog(database), SealedStore(settings.sealed), ledger, settings.artifacts, signer)
    mlflow_app(settings, registry)
except Fault as error:
    print(error.code)
"""


def test_the_server_does_not_start_on_a_store_that_is_not_governed(
    governed_sqlite_url: str, settings: Settings
) -> None:
    assert governed_sqlite_url == settings.database
    command = [sys.executable, "-W", "ignore", "-c", _STOCK_STORE, str(settings.home)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["ungoverned-registry"]


def _recorded(registry: Registry, version: int, source: str, by: Principal) -> None:
    """As the governed store writes a version down that came through plain MLflow."""
    if version > 1:
        _mlflow_version(registry, version, source)
    with registry.log.unit_of_work(by.name, "version.register", "digits") as unit:
        registry.record_version(unit, by, "digits", version)


def test_a_version_that_nobody_seals_is_sealed_by_the_server(registry: Registry, ana: Principal) -> None:
    _recorded(registry, 1, _SOURCE, ana)

    assert seal_waiting(registry, timedelta(hours=1)) == 0
    assert registry.version("digits", 1).manifest_digest is None
    assert seal_waiting(registry, timedelta(0)) == 1
    assert registry.verify("digits", 1) == ()
    assert seal_waiting(registry, timedelta(0)) == 0
    assert _actions(registry).count("version.sealed") == 1


def test_what_is_refused_is_not_tried_again_and_holds_nobody_up(registry: Registry, ana: Principal) -> None:
    _recorded(registry, 2, f"mlflow-artifacts:/1/models/m-{'0' * 32}/artifacts", ana)
    _recorded(registry, 1, _SOURCE, ana)

    assert [seal_waiting(registry, timedelta(0)) for _ in range(3)] == [1, 0, 0]
    assert registry.version("digits", 1).manifest_digest is not None
    assert _actions(registry).count("version.seal.refused") == 1


def test_a_hostile_version_is_refused_and_holds_nobody_up(
    registry: Registry, ana: Principal, settings: Settings
) -> None:
    good = settings.artifacts / f"1/models/{_MODEL_ID}/artifacts"
    endless, half = (Path(shutil.copytree(good, settings.artifacts / _folder(mark))) for mark in "bc")
    index = endless / "pipeline" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_bytes()), "x" * 3000: ["diffusers", "AutoencoderKL"]}))
    (half / "MLmodel").write_text(
        (good / "MLmodel").read_text().replace("code_commit: c0ffee", 'code_commit: "\\uD800"')
    )
    for number, mark in ((3, "c"), (2, "b")):
        _recorded(registry, number, f"mlflow-artifacts:/{_folder(mark)}", ana)
    _recorded(registry, 1, _SOURCE, ana)

    assert [seal_waiting(registry, timedelta(0)) for _ in range(2)] == [1, 0]
    assert registry.version("digits", 1).manifest_digest is not None
    assert len(registry.sealed.manifests()) == 1
    assert _refusals(registry) == {"digits/2": "missing-component", "digits/3": "bad-lineage"}


class _Breaking(Registry):
    """A registry that breaks, in a way that nobody foresaw, over the second version."""

    def seal(self, actor: Principal, model: str, version: int) -> Version:
        if version == 2:
            raise RecursionError("too deep for \ud800")
        return super().seal(actor, model, version)


def test_what_nobody_foresaw_is_a_refusal_and_holds_nobody_up(registry: Registry, ana: Principal) -> None:
    _recorded(registry, 2, f"mlflow-artifacts:/{_folder('b')}", ana)
    _recorded(registry, 1, _SOURCE, ana)
    registry.__class__ = _Breaking

    assert [seal_waiting(registry, timedelta(0)) for _ in range(2)] == [1, 0]
    assert _refusals(registry) == {"digits/2": "seal-failed"}


class _Stumbling(Registry):
    """A registry whose database is away at the first round, and ends the rounds at the third."""

    rounds = 0

    def waiting(self, age: timedelta) -> list[Version]:
        self.rounds += 1
        if self.rounds == 1:
            raise OperationalError("SELECT", {}, Exception("no connection"))
        if self.rounds == 3:
            raise SystemExit
        return super().waiting(age)


def test_a_round_that_fails_is_followed_by_the_next(registry: Registry, ana: Principal) -> None:
    _recorded(registry, 1, _SOURCE, ana)
    registry.__class__ = _Stumbling

    with pytest.raises(SystemExit):
        asyncio.run(_keep_sealing(registry, 0.01))

    assert registry.version("digits", 1).manifest_digest is not None


def _folder(mark: str) -> str:
    return f"1/models/m-{mark * 32}/artifacts"


def _refusals(registry: Registry) -> dict[str, object]:
    told = [event for event in registry.log.recent() if event.action == "version.seal.refused"]
    assert len({event.subject for event in told}) == len(told)
    return {event.subject: event.detail["code"] for event in told}


def test_a_version_sealed_on_object_storage_is_verified_signed_and_loads(
    registry: Registry, ana: Principal, settings: Settings, tmp_path: Path
) -> None:
    away = SealedStore(tmp_path / "local", objects=f"memory://{tmp_path.name}/sealed")
    ledger = Ledger(registry.log.database, registry.log.clock, Rates(0.2, 2.5, "EUR"))
    signer = ModelSigner.at(settings.model_private)
    made = Registry(registry.log, away, ledger, settings.artifacts, signer)

    sealed = made.seal(ana, "digits", 1)

    assert made.verify("digits", 1) == ()
    assert sealed.manifest_digest is not None
    require_signed(made.manifest("digits", 1), made.signatures("digits", 1), signer.key.with_suffix(".pub"))
    assert not settings.sealed.joinpath("blobs").exists() or not list((settings.sealed / "blobs" / "sha256").iterdir())
    assert type(load_sealed(away, sealed.manifest_digest, tmp_path / "copy")).__name__ == "StableDiffusionPipeline"


def test_a_server_that_is_up_seals_what_waits(registry: Registry, ana: Principal, settings: Settings) -> None:
    _recorded(registry, 1, _SOURCE, ana)
    house = House.open(settings.model_copy(update={"seal_seconds": 0.05}))
    try:
        with TestClient(build_app(house), "http://localhost"):
            wait_until(lambda: registry.version("digits", 1).manifest_digest)
    finally:
        house.close()

    assert registry.verify("digits", 1) == ()
    assert [(e.actor, e.action) for e in registry.log.recent(limit=1)] == [("imprimatur", "version.sealed")]
