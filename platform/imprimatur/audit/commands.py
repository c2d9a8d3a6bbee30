"""``imprimatur audit``: whether the log is what was written. Works on the home folder, with no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imprimatur.audit.model import Verification
from imprimatur.audit.service import AuditLog
from imprimatur.audit.verification import verify as verify_log
from imprimatur.core.database import Database
from imprimatur.core.errors import NotFound, Tampered
from imprimatur.core.settings import Settings
from imprimatur.core.signing import KeyRing
from imprimatur.core.terminal import out, print_json, print_table

app = typer.Typer(name="audit", help="Who did what, and whether the log of it is whole.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Who did what, and whether the log of it is whole."""


@app.command()
def verify(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Read the whole log against its hashes and the signed checkpoints; exit status 1 where anything is wrong."""
    found = _verified(Settings())
    if as_json:
        print_json(_document(found))
        raise typer.Exit(1 if found.findings else 0)
    if found.findings:
        rows = [(f.kind.value, "" if f.entry is None else str(f.entry), f.message) for f in found.findings]
        print_table("What is wrong with the audit log", ("finding", "entry", "what was found"), rows)
        raise Tampered("log-tampered", f"The audit log is not what was written: {len(found.findings)} findings")
    out.print(
        f"{found.head.size} entries, root {found.head.root}: nothing changed, missing or reordered. "
        f"{found.checkpoints} signed checkpoints cover the first {found.covered}.",
        soft_wrap=True,
    )


def _verified(settings: Settings) -> Verification:
    if not settings.database_url and not (settings.home / "imprimatur.db").exists():
        raise NotFound("no-database", f"There is no imprimatur.db in {settings.home.name}; set IMPRIMATUR_HOME")
    database = Database(settings.database)
    try:
        return verify_log(AuditLog(database), settings.checkpoints, _keys(settings.keys))
    finally:
        database.dispose()


def _keys(folder: Path) -> KeyRing:
    public = folder / "decision.pub"
    return KeyRing([public.read_text()] if public.exists() else [])


def _document(found: Verification) -> dict[str, object]:
    return {
        "size": found.head.size,
        "root": found.head.root,
        "checkpoints": found.checkpoints,
        "covered": found.covered,
        "findings": [{**vars(finding), "kind": finding.kind.value} for finding in found.findings],
    }
