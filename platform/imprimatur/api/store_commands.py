"""``imprimatur store``: the sealed store of this home."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json
from imprimatur.datasets import store as datasets
from imprimatur.evaluation import store as evaluations
from imprimatur.registry import store as versions
from imprimatur.release import store as releases
from imprimatur.storage.collection import SAFE_AGE, Garbage
from imprimatur.storage.service import SealedStore

app = typer.Typer(name="store", help="The sealed store of this home.", no_args_is_help=True)

REFERRING: tuple[Callable[[Session], set[Digest]], ...] = (
    versions.referred,
    datasets.referred,
    evaluations.referred,
    releases.referred,
)
"""What each room that keeps bytes in the sealed store still needs."""

_SAFE_HOURS = SAFE_AGE.total_seconds() / 3600


@app.callback()
def group() -> None:
    """The sealed store of this home."""


@app.command()
def collect(
    older_than: Annotated[float, typer.Option(min=1.0, help="Hours for which bytes stay that nothing refers to.")] = (
        _SAFE_HOURS
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Remove what a crash or a refused registration left behind; never what a version, dataset or report refers to."""
    settings = Settings()
    if not settings.database_url and not (settings.home / "imprimatur.db").exists():
        raise NotFound("no-database", f"There is no imprimatur.db in {settings.home.name}; set IMPRIMATUR_HOME")
    database = Database(settings.database)
    try:
        sealed = SealedStore(settings.sealed, objects=settings.sealed_objects)
        garbage = collect_garbage(database, sealed, timedelta(hours=older_than), remove=not dry_run)
    finally:
        database.dispose()
    if as_json:
        print_json({**garbage.document(), "removed": not dry_run})
        return
    verb = "would go" if dry_run else "are gone"
    out.print(
        f"{len(garbage.manifests)} manifests, {len(garbage.blobs)} blobs and {garbage.unfinished} unfinished files "
        f"{verb}: {garbage.size / 1e6:.1f} MB"
        f"{f'; {garbage.strays} other things lie among the blobs and stay there' if garbage.strays else ''}",
        highlight=False,
    )


def collect_garbage(database: Database, store: SealedStore, age: timedelta, *, remove: bool = True) -> Garbage:
    """Collect what no room refers to and nobody wanted within ``age``; an event says what was removed."""
    with database.reading() as session:
        referred = set().union(*(refers(session) for refers in REFERRING))
    garbage = store.collect(referred, age=age, remove=remove)
    if remove and (garbage.manifests or garbage.blobs or garbage.unfinished):
        with AuditLog(database).unit_of_work("imprimatur", "store.collect", "sealed store") as unit:
            unit.record("store.collected", garbage=garbage.document())
    return garbage
