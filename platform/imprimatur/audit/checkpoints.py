"""Signed checkpoints: what the log was, kept as files outside the database, for whoever edits the database to miss.

Each file covers the entries since the one before it. Copy the folder to another machine, and a cut tail shows too where
somebody cut the folder as well.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from imprimatur.audit import store
from imprimatur.audit.merkle import grow, leaf_hash, root_of
from imprimatur.audit.model import Checkpoint, Finding, FindingKind
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import iso
from imprimatur.core.errors import Tampered
from imprimatur.core.signing import Envelope, KeyRing, SigningKey

PAYLOAD_TYPE = "application/vnd.imprimatur.checkpoint+json"
_HASH = 32


@dataclass
class Covered:
    """What a folder of checkpoints says: how many there are, each entry's hash by index, and what is wrong with it."""

    checkpoints: int = 0
    leaves: dict[int, bytes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def write_checkpoint(log: AuditLog, folder: Path, key: SigningKey) -> Path | None:
    """Sign what was appended since the last checkpoint into a new file in ``folder``; None where nothing was.

    Nothing is signed that does not fit: raises Tampered ``log-truncated`` where the log is shorter than it was at the
    last checkpoint, ``log-changed`` where an entry or the head is not what was appended, and ``bad-signature`` or
    ``bad-checkpoint`` where the last checkpoint is not our own.
    """
    files = _files(folder)
    previous = _read(files[-1], KeyRing([key.public])) if files else None
    checkpoint = _next(log, previous)
    if checkpoint is None:
        return None
    target = folder / f"{checkpoint.size:012d}.json"
    _write_durably(target, json.dumps(key.sign(PAYLOAD_TYPE, _document(checkpoint)).document()))
    return target


def read_checkpoints(folder: Path, keys: KeyRing) -> Covered:
    """Everything that the checkpoints in ``folder`` say, as far as ``keys`` signed it."""
    covered = Covered()
    for file in _files(folder):
        try:
            checkpoint = _read(file, keys)
        except Tampered as error:
            covered.findings.append(Finding(FindingKind.CHECKPOINT, None, f"Checkpoint {file.name}: {error.message}"))
            continue
        covered.checkpoints += 1
        for index, leaf in enumerate(checkpoint.leaves, checkpoint.start):
            if covered.leaves.setdefault(index, leaf) != leaf:
                message = f"Checkpoint {file.name} contradicts an earlier one about entry {index}"
                covered.findings.append(Finding(FindingKind.CHECKPOINT, index, message))
    return covered


def _next(log: AuditLog, previous: Checkpoint | None) -> Checkpoint | None:
    start = previous.size if previous else 0
    frontier = list(previous.frontier) if previous else []
    leaves: list[bytes] = []
    with log.database.reading() as session:
        head = store.head_of(session)
        with closing(store.entries(session, start=start)) as entries:
            for event, stored in entries:
                leaf = leaf_hash(event.canonical())
                if event.index != start + len(leaves) or leaf != stored:
                    raise _changed(f"entry {event.index} is not what was appended")
                frontier = grow(frontier, event.index, leaf)
                leaves.append(leaf)
    if head.size < start:
        raise Tampered("log-truncated", f"The log has {head.size} entries; at the last checkpoint it had {start}")
    root = "sha256:" + root_of(frontier).hex()
    if head.size != start + len(leaves) or head.root != root:
        raise _changed(f"its head ({head.size} entries, {head.root}) does not fit its entries")
    if not leaves:
        return None
    return Checkpoint(log.clock(), start, head.size, root, tuple(frontier), tuple(leaves))


def _changed(how: str) -> Tampered:
    return Tampered("log-changed", f"The audit log was changed: {how}; run `imprimatur audit verify`")


def _document(checkpoint: Checkpoint) -> Mapping[str, Any]:
    return {
        "at": iso(checkpoint.at),
        "start": checkpoint.start,
        "size": checkpoint.size,
        "root": checkpoint.root,
        "frontier": b64encode(b"".join(checkpoint.frontier)).decode(),
        "leaves": b64encode(b"".join(checkpoint.leaves)).decode(),
    }


def _read(file: Path, keys: KeyRing) -> Checkpoint:
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise Tampered("bad-checkpoint", f"{file.name} is unreadable: {error}") from error
    found = _parse(keys.open(Envelope.parse(document), PAYLOAD_TYPE))
    if file.stem != f"{found.size:012d}":
        raise Tampered("bad-checkpoint", f"{file.name} is about {found.size} entries (expected those of its name)")
    return found


def _parse(document: Mapping[str, Any]) -> Checkpoint:
    at = datetime.fromisoformat(document["at"])
    frontier, leaves = _hashes(document["frontier"]), _hashes(document["leaves"])
    return Checkpoint(at, document["start"], document["size"], document["root"], frontier, leaves)


def _hashes(text: str) -> tuple[bytes, ...]:
    joined = b64decode(text, validate=True)
    return tuple(joined[i : i + _HASH] for i in range(0, len(joined), _HASH))


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def _write_durably(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.partial")
    with partial.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
