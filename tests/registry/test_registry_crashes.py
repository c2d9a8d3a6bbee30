"""Registration and sealing that die by SIGKILL, at any step: all of it or none, and nothing that isn't found again."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from imprimatur.access.http import current_principal
from imprimatur.access.model import Principal
from imprimatur.api.store_commands import collect_garbage
from imprimatur.audit.service import AuditLog
from imprimatur.audit.verification import verify
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.core.signing import KeyRing
from imprimatur.costs.model import Kind, Rates
from imprimatur.costs.service import Ledger
from imprimatur.registry.governed.store import GovernedStore
from imprimatur.registry.provenance import BUNDLE_TYPE, ModelSigner, require_signed
from imprimatur.registry.service import Registry
from imprimatur.storage.service import SealedStore
from killed import Step, die_after, die_at
from long_forms import Count

_MODEL_ID = "m-" + "a" * 32
_SOURCE = f"mlflow-artifacts:/1/models/{_MODEL_ID}/artifacts"

REGISTRATION = (
    Step("governed/store.py", "create_model_version"),
    Step("model_registry/sqlalchemy_store.py", "create_model_version"),
    Step("registry/service.py", "record_version"),
    Step("registry/store.py", "add_version"),
    Step("audit/store.py", "append"),
    Step("engine/default.py", "do_commit"),
)
SEALING = (
    Step("registry/service.py", "seal"),
    Step("storage/staging.py", "_copy_file"),
    Step("storage/staging.py", "_copy_file", 5),
    Step("registry/admission.py", "admit"),
    Step("storage/blobs.py", "adopt"),
    Step("storage/blobs.py", "adopt", 4),
    Step("storage/service.py", "_enter"),
    Step("storage/index.py", "add"),
    Step("storage/index.py", "_replace"),
    Step("registry/provenance.py", "sign"),
    Step("storage/service.py", "attach"),
    Step("storage/index.py", "add", 2),
    Step("registry/service.py", "_write_down"),
    Step("audit/store.py", "append"),
    Step("engine/default.py", "do_commit", 2),
)


@dataclass(frozen=True)
class Home:
    """A governed home, opened anew as a restarted server does it."""

    settings: Settings
    url: str
    ana: Principal

    @contextmanager
    def open(self) -> Iterator[tuple[GovernedStore, Registry]]:
        """MLflow's governed store and the registry, as ``ana`` uses them."""
        database = Database(self.url)
        log = AuditLog(database)
        ledger = Ledger(database, log.clock, Rates(0.2, 2.5, "EUR"))
        signer = ModelSigner.at(self.settings.model_private)
        registry = Registry(log, SealedStore(self.settings.sealed), ledger, self.settings.artifacts, signer)
        mlflow = GovernedStore(self.url, registry, ("staging", "production"))
        reset = current_principal.set(self.ana)
        try:
            yield mlflow, registry
        finally:
            current_principal.reset(reset)
            mlflow.engine.dispose()
            database.dispose()

    def registering(self) -> None:
        """Register one more version."""
        with self.open() as (mlflow, _):
            mlflow.create_model_version("digits", _SOURCE)

    def sealing(self) -> None:
        """Seal version 1."""
        with self.open() as (_, registry):
            registry.seal(self.ana, "digits", 1)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.proof_only)])
def home(request: pytest.FixtureRequest, settings: Settings, saved_once: Path, ana: Principal) -> Home:
    """A home where ``digits`` has no version yet, and a pipeline was logged."""
    made = Home(settings, str(request.getfixturevalue(f"governed_{request.param}_url")), ana)
    ModelSigner.at(settings.model_private)
    shutil.copytree(saved_once, settings.artifacts / f"1/models/{_MODEL_ID}/artifacts")
    with made.open() as (mlflow, _):
        mlflow.create_registered_model("digits")
    return made


def _count(registry: Registry, table: str) -> int:
    with registry.log.database.reading() as session:
        return int(session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


def _require_agreement(registry: Registry, settings: Settings) -> int:
    """How many versions there are, once MLflow, our rows and the log are found to say the same."""
    told = [event.action for event in registry.log.recent(limit=100_000)]
    versions = _count(registry, "imp_version")
    assert _count(registry, "model_versions") == versions == told.count("version.registered")
    sealed = [version for version in registry.versions("digits", 500) if version.manifest_digest]
    assert told.count("version.sealed") == len(sealed)
    for version in sealed:
        manifest = registry.manifest("digits", version.version)
        assert registry.sealed.verify(manifest.digest) == ()
        signatures = registry.sealed.attached(manifest.digest, BUNDLE_TYPE)
        require_signed(manifest, signatures, settings.model_private.with_suffix(".pub"))
    assert verify(registry.log, settings.checkpoints, KeyRing([])).findings == ()
    return versions


def _require_no_orphans(registry: Registry) -> None:
    """Whatever nothing refers to, garbage collection finds; then nothing is left that it would find."""
    store, database = registry.sealed, registry.log.database
    collect_garbage(database, store, timedelta(seconds=-60))
    left = {path.name for path in (store.root / "blobs" / "sha256").iterdir()}
    needed = {"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"} if left else set()
    for digest in store.manifests():
        manifest = store.manifest(digest)
        needed |= {part.removeprefix("sha256:") for part in (digest, *(file.digest for file in manifest.files))}
    signatures = sum(len(store.attached(digest, BUNDLE_TYPE)) for digest in store.manifests())
    assert needed <= left
    assert len(left - needed) == 2 * signatures  # a signature and its manifest
    assert not list((store.root / ".incoming").iterdir())
    assert not [path for path in (store.root / ".staging").iterdir() if path.is_dir()]
    known = {version.manifest_digest for version in registry.versions("digits", 500)} - {None}
    assert set(store.manifests()) == known


@pytest.mark.parametrize("step", REGISTRATION, ids=str)
def test_a_registration_killed_at_a_step_left_no_version(home: Home, step: Step) -> None:
    assert die_at(step, home.registering)

    with home.open() as (_, registry):
        assert _require_agreement(registry, home.settings) == 0
        home.registering()
        assert _require_agreement(registry, home.settings) == 1


@pytest.mark.parametrize("step", SEALING, ids=str)
def test_a_sealing_killed_at_a_step_is_completed_by_the_next(home: Home, step: Step) -> None:
    home.registering()

    assert die_at(step, home.sealing)

    with home.open() as (_, registry):
        assert registry.version("digits", 1).manifest_digest is None
        _require_agreement(registry, home.settings)
        home.sealing()
        assert registry.version("digits", 1).manifest_digest is not None
        _require_agreement(registry, home.settings)
        _require_no_orphans(registry)


@pytest.mark.parametrize("step", SEALING[6:], ids=str)
def test_what_a_killed_sealing_left_is_found_as_garbage(home: Home, step: Step) -> None:
    home.registering()
    assert die_at(step, home.sealing)

    with home.open() as (mlflow, registry):
        mlflow.delete_model_version("digits", 1)
        _require_no_orphans(registry)
        assert registry.sealed.manifests() == []


@pytest.mark.long_form
def test_whenever_a_server_dies_nothing_is_half_done(home: Home, count: Count) -> None:
    chance = random.Random(7)  # noqa: S311  instants, no secrets

    def work() -> None:
        with home.open() as (mlflow, registry):
            while True:
                made = mlflow.create_model_version("digits", _SOURCE)
                registry.seal(home.ana, "digits", int(made.version))

    for _ in range(count(5, 50)):
        assert die_after(chance.uniform(0.1, 0.8), work)
        with home.open() as (_, registry):
            _require_agreement(registry, home.settings)
    with home.open() as (_, registry):
        _require_no_orphans(registry)
        ledger = Ledger(registry.log.database, registry.log.clock, Rates(0.2, 2.5, "EUR"))
        assert all(Kind.TRAINING in ledger.of_version("digits", v.version) for v in registry.versions("digits", 1))
