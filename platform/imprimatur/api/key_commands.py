"""``imprimatur keys``: the server's signing key, and those that it had before."""

from __future__ import annotations

from typing import Annotated

import typer

from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.errors import NotFound
from imprimatur.core.keychain import KeyChain, open_chain, ring_at, rotate
from imprimatur.core.settings import Settings
from imprimatur.core.signing import key_id_of
from imprimatur.core.terminal import out, print_json, print_table

app = typer.Typer(name="keys", help="The server's signing key and those before it.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the keys whose signatures are accepted, the one in force first."""
    settings = Settings()
    public = settings.decision_public
    in_force = key_id_of(public.read_text()) if public.exists() else ""
    ids = sorted(ring_at(public).key_ids, key=lambda key: (key != in_force, key))
    if as_json:
        print_json({"keys": [{"key_id": key, "in_force": key == in_force} for key in ids]})
    else:
        print_table("Keys", ("key", ""), [(key, "in force" if key == in_force else "before") for key in ids])


@app.command(name="rotate")
def rotate_(as_json: AsJson = False) -> None:
    """Replace the signing key; what the old one signed stays valid. Restart the servers of this home afterwards."""
    settings = Settings()
    if not settings.decision_private.exists():
        raise NotFound("no-key", f"There is no {settings.decision_private.name} in this home; start the server once")
    before = open_chain(settings.decision_private)
    after = rotate(settings.decision_private, utc_now())
    _record(settings, before, after)
    if as_json:
        print_json({"key_id": after.current.key_id, "before": before.current.key_id})
    else:
        out.print(f"{after.current.key_id} is in force now, after {before.current.key_id}. Restart the servers.")


def _record(settings: Settings, before: KeyChain, after: KeyChain) -> None:
    database = Database(settings.database)
    try:
        with AuditLog(database).unit_of_work("operator", "key.rotate", after.current.key_id) as unit:
            unit.record("key.rotated", before=before.current.key_id)
    finally:
        database.dispose()
