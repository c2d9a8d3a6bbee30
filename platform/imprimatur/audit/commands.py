"""``imprimatur audit``: whether the log is what was written, and proofs of it. Works with no server."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from imprimatur.audit.checkpoints import write_checkpoint
from imprimatur.audit.export import KEYS, export_log, verify_export
from imprimatur.audit.model import Verification
from imprimatur.audit.proofs import check_proof, prove_consistency
from imprimatur.audit.proofs import prove as prove_event
from imprimatur.audit.service import AuditLog
from imprimatur.audit.verification import verify as verify_log
from imprimatur.core.clock import iso
from imprimatur.core.database import Database
from imprimatur.core.errors import BadInput, NotFound, Tampered
from imprimatur.core.keychain import open_chain, ring_at
from imprimatur.core.settings import Settings
from imprimatur.core.signing import KeyRing
from imprimatur.core.terminal import err, out, print_json, print_table

app = typer.Typer(name="audit", help="Who did what, and whether the log of it is whole.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Key = Annotated[
    Path | None,
    typer.Option("--key", help="The server's public key; the home folder's or the export's where left out."),
]


@app.callback()
def group() -> None:
    """Who did what, and whether the log of it is whole."""


@app.command()
def verify(
    export: Annotated[Path | None, typer.Option(help="An exported log, in place of the home folder's.")] = None,
    proof: Annotated[Path | None, typer.Option(help="A proof of one event, in place of a whole log.")] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Read the whole log against its hashes and the signed checkpoints; exit status 1 where anything is wrong."""
    settings = Settings()
    if proof is not None:
        _verify_proof(proof, _keys(settings, key), as_json=as_json)
        return
    if export is not None:
        found = verify_export(export, ring_at(key or export / KEYS / settings.decision_public.name))
    else:
        with _log(settings) as log:
            found = verify_log(log, settings.checkpoints, _keys(settings, key))
    if as_json:
        print_json(_document(found))
        raise typer.Exit(1 if found.findings else 0)
    if found.findings:
        rows = [(f.kind.value, "" if f.entry is None else str(f.entry), f.message) for f in found.findings]
        print_table("What is wrong with the audit log", ("finding", "entry", "what was found"), rows)
        raise Tampered("log-tampered", f"The audit log is not what was written: {len(found.findings)} findings")
    tail = found.head.size - found.covered
    out.print(
        f"{found.head.size} entries, root {found.head.root}: nothing changed, missing or reordered. "
        f"{found.checkpoints} signed checkpoints cover the first {found.covered}"
        f"{f'; the last {tail} are signed by nobody yet' if tail else ''}.",
        soft_wrap=True,
    )


@app.command()
def export(
    to: Annotated[Path, typer.Option(help="New folder for events, checkpoints and public keys.", file_okay=False)],
    as_json: AsJson = False,
) -> None:
    """Write the log to a folder that anybody can verify with `imprimatur audit verify --export`, without us."""
    settings = Settings()
    with _log(settings) as log:
        if settings.decision_private.exists():
            chain = open_chain(settings.decision_private)
            write_checkpoint(log, settings.checkpoints, chain, settings.audit_origin)
        count = export_log(log, settings.checkpoints, settings.decision_public, to)
    print_json({"events": count, "folder": str(to)}) if as_json else out.print(f"{count} events are in {to}")


@app.command()
def prove(
    event: Annotated[int, typer.Argument(help="The entry's number, as `audit verify` and the pages show it.")],
    to: Annotated[Path | None, typer.Option(help="File for the proof; printed where left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that an event is in the log, in a text that anybody can check against a signed checkpoint."""
    settings = Settings()
    with _log(settings) as log:
        text = prove_event(log, settings.checkpoints, _keys(settings, None), event)
    if to is not None:
        to.write_text(text)
        err.print(f"The proof is in {to}; check it with `imprimatur audit verify --proof {to} --key decision.pub`")
    if as_json:
        print_json({"event": event, "proof": text})
    elif to is None:
        typer.echo(text, nl=False)


@app.command()
def consistency(
    old: Annotated[Path, typer.Argument(help="A checkpoint that you kept.", dir_okay=False)],
    new: Annotated[Path | None, typer.Argument(help="A later one; the newest where left out.", dir_okay=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that the log still begins with what it was when a checkpoint was signed; exit status 1 where not."""
    settings = Settings()
    files = sorted(settings.checkpoints.glob("*.checkpoint"))
    if new is None and not files:
        raise NotFound("no-checkpoint", "There is no checkpoint yet (the server writes one every minute)")
    with _log(settings) as log:
        proof = prove_consistency(log, _read(old), _read(new or files[-1]), _keys(settings, None))
    if as_json:
        print_json(
            {
                "old": vars(proof.old),
                "new": vars(proof.new),
                "path": [b64encode(node).decode() for node in proof.path],
            }
        )
    else:
        out.print(f"The log of {proof.new.size} entries begins with the {proof.old.size} that were signed before.")


def _verify_proof(file: Path, keys: KeyRing, *, as_json: bool) -> None:
    proven = check_proof(_read(file), keys)
    event = proven.event
    if as_json:
        print_json({"event": {**vars(event), "at": iso(event.at)}, "checkpoint": vars(proven.head)})
    else:
        out.print(
            f"Entry {event.index} of the log of {proven.head.size}: {event.action} on {event.subject} by {event.actor} "
            f"at {iso(event.at)}",
            soft_wrap=True,
        )


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("no-file", f"{file.name} can't be read ({type(error).__name__})") from error


@contextmanager
def _log(settings: Settings) -> Iterator[AuditLog]:
    if not settings.database_url and not (settings.home / "imprimatur.db").exists():
        raise NotFound("no-database", f"There is no imprimatur.db in {settings.home.name}; set IMPRIMATUR_HOME")
    database = Database(settings.database)
    try:
        yield AuditLog(database)
    finally:
        database.dispose()


def _keys(settings: Settings, key: Path | None) -> KeyRing:
    public = key or settings.decision_public
    return ring_at(public) if key or public.exists() else KeyRing([])


def _document(found: Verification) -> dict[str, object]:
    return {
        "size": found.head.size,
        "root": found.head.root,
        "checkpoints": found.checkpoints,
        "covered": found.covered,
        "findings": [{**vars(finding), "kind": finding.kind.value} for finding in found.findings],
    }
