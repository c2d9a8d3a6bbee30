"""A home with one released version that was evaluated for real, and a hand on its spool."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from evaluation_stage import ENGINEER, Stage, fill, open_stage, random_backbone
from imprimatur.access.service import Accounts
from imprimatur.api import schema as _every_table  # noqa: F401  so that the metadata knows every table
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Base, Database
from imprimatur.core.digests import new_id
from imprimatur.core.keychain import open_chain
from imprimatur.core.settings import Settings
from imprimatur.monitoring.service import Monitor
from imprimatur.policy.model import Facts, Judgement, Policy, RuleResult, Verdict
from imprimatur.policy.service import Policies
from imprimatur.registry.flavor import Lineage, save_pipeline
from imprimatur.registry.model import RiskTier, Use
from imprimatur.release import store as release_rows
from imprimatur.release.case import Case
from imprimatur.release.document import signed
from imprimatur.release.model import Release
from imprimatur.release.service import Releases
from imprimatur.serving.spool import Served, Spool
from signed_bundles import Hands
from tiny_pipelines import tiny_stable_diffusion

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
LIMIT = 0.4
MODEL = "tiny"
_USE = Use("drawing digits", ("reading cheques",), "players", "EU", RiskTier.MINIMAL, "ana", date(2027, 6, 1))


@dataclass
class MonitorStage:
    """A monitor, what it reads, and the rooms that it writes to."""

    rooms: Stage
    accounts: Accounts
    releases: Releases
    monitor: Monitor
    spool: Spool
    clock: Hands
    settings: Settings

    def release(self) -> Release:
        """What stands in production."""
        found = self.releases.current(MODEL, "production")
        assert found is not None
        return found

    def serve(self, count: int, *, prompt: str = "a handwritten one", kept: bool = True, at: datetime = NOW) -> None:
        """Write ``count`` served images to the spool, as a gateway does."""
        release = self.release()
        for number in range(count):
            image_id = new_id("img")
            image = self.spool.keep_image(image_id, _noise(number)) if kept else None
            self.spool.append(
                Served(
                    id=image_id,
                    at=at + timedelta(seconds=number),
                    model=release.model,
                    version=release.version,
                    manifest_digest=release.manifest_digest,
                    environment=release.environment,
                    prompt=prompt,
                    seed=number,
                    seconds=0.5,
                    device="cpu",
                    images=1,
                    client="webshop",
                    team="shop",
                    image=image,
                )
            )


def make_home(home: Path, scratch: Path) -> None:
    """A home whose model ``tiny/1`` was evaluated, decided on and released to production."""
    with _opened(Settings(home=home)) as (rooms, _, releases, _):
        Base.metadata.create_all(rooms.log.database.engine)
        save_pipeline(tiny_stable_diffusion(scratch / "words"), scratch / "model", lineage=Lineage())
        version = fill(rooms, scratch / "model", random_backbone(scratch / "weights.safetensors"))
        run = rooms.evaluations.run(rooms.evaluations.request(ENGINEER, MODEL, 1, "tiny").id)
        submission = rooms.registry.submit(ENGINEER, MODEL, 1, _USE)
        assert version.manifest_digest is not None
        case = Case("production", version, version.manifest_digest, submission, run, _policy(), Facts({}, {}))
        key = open_chain(home / "keys" / "decision.pem").current
        decision = signed(case, _judgement(), key, by="ben", at=NOW)
        release = Release(
            new_id("rel"), decision.id, version.id, MODEL, 1, case.manifest, "production", "ana", NOW, None, None
        )
        with rooms.log.database.transaction() as session:
            release_rows.add_decision(session, decision)
            session.flush()
            release_rows.add_release(session, release)
        assert releases.current(MODEL, "production") == release


@contextmanager
def open_home(home: Path, *, minimum: int = 30) -> Iterator[MonitorStage]:
    """The monitor of a home that ``make_home`` made."""
    settings = Settings(home=home, device="cpu", monitor_minimum=minimum)
    with _opened(settings) as (rooms, accounts, releases, clock):
        monitor = Monitor(rooms.log, rooms.ledger, rooms.datasets, rooms.evaluations, releases, settings)
        spool = Spool(settings.served, clock, share=1.0, per_minute=10_000)
        yield MonitorStage(rooms, accounts, releases, monitor, spool, clock, settings)


@contextmanager
def _opened(settings: Settings) -> Iterator[tuple[Stage, Accounts, Releases, Hands]]:
    database = Database(settings.database)
    clock = Hands(NOW + timedelta(minutes=10))
    log = AuditLog(database, clock)
    rooms = open_stage(settings, log)
    accounts = Accounts(log, timedelta(hours=1))
    releases = Releases(
        log,
        rooms.registry,
        rooms.evaluations,
        Policies(log),
        rooms.datasets,
        accounts,
        open_chain(settings.decision_private),
        settings,
    )
    try:
        yield rooms, accounts, releases, clock
    finally:
        database.dispose()


def _policy() -> Policy:
    return Policy("tiny-production", 1, "sha256:" + "0" * 64, "production", {}, (), (), {}, (), {})


def _judgement() -> Judgement:
    kept = RuleResult("prompts", "Prompt following", Verdict.ALLOW, "", "", "alignment/tiny-clip", LIMIT, "")
    return Judgement(Verdict.ALLOW, (kept,))


def _noise(seed: int) -> bytes:
    from io import BytesIO

    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    sink = BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()
