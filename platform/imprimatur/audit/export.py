"""The log as a folder that can be handed over, and verified there without us.

events.jsonl     one event a line, as canonical JSON: the bytes that are hashed
checkpoints/     the signed checkpoints
keys/            the server's public key, and the statements that lead to those before it
"""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from imprimatur.audit import store
from imprimatur.audit.checkpoints import read_checkpoints
from imprimatur.audit.merkle import leaf_hash, root_over
from imprimatur.audit.model import Event, Finding, FindingKind, TreeHead, Verification
from imprimatur.audit.service import AuditLog
from imprimatur.audit.verification import compare
from imprimatur.core.errors import BadInput, Tampered
from imprimatur.core.signing import KeyRing

EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints"
KEYS = "keys"


def export_log(log: AuditLog, checkpoints: Path, public: Path, target: Path) -> int:
    """Write the log into the new or empty folder ``target``, and return how many events it holds.

    Raises BadInput ``folder-not-empty``.
    """
    if target.exists() and any(target.iterdir()):
        raise BadInput("folder-not-empty", f"{target.name!r} has files in it (expected a new or empty folder)")
    (target / KEYS).mkdir(parents=True, exist_ok=True)
    count = 0
    with (
        (target / EVENTS).open("wb") as stream,
        log.database.reading() as session,
        closing(store.entries(session)) as entries,
    ):
        for event, _ in entries:
            stream.write(event.canonical() + b"\n")
            count += 1
    if checkpoints.is_dir():
        shutil.copytree(checkpoints, target / CHECKPOINTS)
    for file in public.parent.glob(f"{public.stem}.*"):
        if file.suffix in (".pub", ".json"):
            shutil.copy(file, target / KEYS / file.name)
    return count


def verify_export(folder: Path, keys: KeyRing) -> Verification:
    """Read an exported log and say what is wrong with it. Its last checkpoint says how long it must be.

    Raises BadInput ``no-export`` where the folder is none.
    """
    file = folder / EVENTS
    if not file.is_file():
        raise BadInput(
            "no-export", f"{folder.name!r} holds no {EVENTS} (expected what `imprimatur audit export` wrote)"
        )
    covered = read_checkpoints(folder / CHECKPOINTS, keys)
    with file.open("rb") as stream:
        events = [_event(number, line) for number, line in enumerate(stream)]
    strayed = [_strayed(event) for before, event in pairwise(events) if event.index <= before.index]
    entries = [(event, leaf_hash(event.canonical())) for event in sorted(events, key=lambda event: event.index)]
    size = entries[-1][0].index + 1 if entries else 0
    head = TreeHead(size, "sha256:" + root_over(leaf for _, leaf in entries).hex())
    unsigned = [_unsigned(size)] if size and not covered.roots else []
    findings = (*covered.findings, *unsigned, *strayed, *compare(entries, covered, head))
    return Verification(head, len(covered.roots), covered.size, findings)


def _unsigned(size: int) -> Finding:
    message = f"No checkpoint covers the {size} entries (expected one at least), so anybody can have written them"
    return Finding(FindingKind.CHECKPOINT, None, message)


def _strayed(event: Event) -> Finding:
    message = f"Entry {event.index} ({event.action} by {event.actor}) stands in another line than it was written in"
    return Finding(FindingKind.REORDERED, event.index, message)


def _event(number: int, line: bytes) -> Event:
    """The event of a line; one that nobody can read comes out as an event whose hash fits nothing."""
    try:
        return Event.parse(line.removesuffix(b"\n"))
    except Tampered:
        return Event(number, datetime.min.replace(tzinfo=UTC), "nobody", "line.unreadable", "", {})
