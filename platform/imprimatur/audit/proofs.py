"""Proofs about the log for people who have neither the log nor our database, only the server's public key.

An inclusion proof is a text of C2SP's form (https://c2sp.org/tlog-proof): the event itself, its place, a few hashes,
and the signed checkpoint that they lead to. A consistency proof shows that one checkpoint's log begins with another's.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from imprimatur.audit import store
from imprimatur.audit.checkpoints import checkpoint_files, open_checkpoint
from imprimatur.audit.merkle import consistency_path, continues, includes, inclusion_path, leaf_hash
from imprimatur.audit.model import Event, TreeHead
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import NotFound, Tampered
from imprimatur.core.notes import exact_base64
from imprimatur.core.signing import KeyRing

_FORM = "c2sp.org/tlog-proof@v1"
_PROOF = re.compile(
    rf"{re.escape(_FORM)}\nextra (\S+)\nindex (0|[1-9][0-9]*)\n((?:[A-Za-z0-9+/]{{43}}=\n)*)\n(.+)", re.DOTALL
)


@dataclass(frozen=True)
class Proven:
    """An event that a signed checkpoint covers."""

    event: Event
    head: TreeHead


@dataclass(frozen=True)
class Consistency:
    """Two checkpoints of one log, and the hashes (32 bytes each) that show it."""

    old: TreeHead
    new: TreeHead
    path: tuple[bytes, ...]


def prove(log: AuditLog, folder: Path, keys: KeyRing, index: int) -> str:
    """The proof that entry ``index`` is in the log, against the oldest checkpoint that covers it.

    Raises NotFound ``no-such-event``; ``not-covered-yet`` where no checkpoint was written since; Tampered
    ``log-changed`` where the log does not lead to the checkpoint.
    """
    note, head = _covering(folder, keys, index, log)
    with log.database.reading() as session, closing(store.entries(session, end=head.size)) as entries:
        found, leaves = None, list[bytes]()
        for event, _ in entries:
            leaves.append(leaf_hash(event.canonical()))
            found = event if event.index == index else found
    if found is None or len(leaves) != head.size:
        raise _unfit(head)
    text = _text(found, inclusion_path(leaves, index), note)
    check_proof(text, keys)
    return text


def check_proof(text: str, keys: KeyRing) -> Proven:
    """What the proof ``text`` proves. Raises Tampered ``bad-proof``, ``bad-signature``, ``bad-event``."""
    match = _PROOF.fullmatch(text)
    if match is None:
        raise Tampered("bad-proof", f"This is no proof with its event (expected the form of {_FORM} with `extra`)")
    extra, index, hashes, note = match.groups()
    try:
        event = Event.parse(exact_base64(extra))
        path = [exact_base64(line) for line in hashes.splitlines()]
    except ValueError as error:
        raise Tampered("bad-proof", f"The proof can't be read ({error})") from error
    head = open_checkpoint(note, keys)
    leaf = leaf_hash(event.canonical())
    if event.index != int(index) or not includes(_hash(head), head.size, leaf, event.index, path):
        raise Tampered(
            "bad-proof", f"The hashes do not lead from this event at {index} to the signed root of {head.size} entries"
        )
    return Proven(event, head)


def prove_consistency(log: AuditLog, old: str, new: str, keys: KeyRing) -> Consistency:
    """The proof that the log of the checkpoint ``new`` begins with that of ``old``.

    Raises Tampered ``inconsistent`` where it does not, ``log-changed`` where our log is neither's, ``bad-signature``.
    """
    first, second = sorted((open_checkpoint(note, keys) for note in (old, new)), key=lambda head: head.size)
    with log.database.reading() as session, closing(store.entries(session, end=second.size)) as entries:
        leaves = [leaf_hash(event.canonical()) for event, _ in entries]
    if len(leaves) != second.size:
        raise _unfit(second)
    path = consistency_path(leaves, first.size) if 0 < first.size < second.size else []
    proof = Consistency(first, second, tuple(path))
    check_consistency(proof)
    return proof


def check_consistency(proof: Consistency) -> None:
    """Raise Tampered ``inconsistent`` unless the proof's hashes lead from the old root to the new one."""
    old, new = proof.old, proof.new
    if old.size and not continues(_hash(old), old.size, _hash(new), new.size, proof.path):
        raise Tampered(
            "inconsistent",
            f"The log of {new.size} entries does not begin with the log of {old.size} that was signed before: "
            "history was rewritten between the two",
        )


def _covering(folder: Path, keys: KeyRing, index: int, log: AuditLog) -> tuple[str, TreeHead]:
    size = log.head().size
    if not 0 <= index < size:
        raise NotFound("no-such-event", f"There is no entry {index} (the log has {size}, counted from 0)")
    for file in checkpoint_files(folder):
        note = file.read_text()
        head = open_checkpoint(note, keys)
        if head.size > index:
            return note, head
    raise NotFound(
        "not-covered-yet", f"No signed checkpoint covers entry {index} yet (the server writes one every minute); wait"
    )


def _text(event: Event, path: Sequence[bytes], note: str) -> str:
    lines = [_FORM, f"extra {b64encode(event.canonical()).decode()}", f"index {event.index}"]
    return "\n".join([*lines, *(b64encode(node).decode() for node in path), "", note])


def _hash(head: TreeHead) -> bytes:
    return bytes.fromhex(head.root.removeprefix("sha256:"))


def _unfit(head: TreeHead) -> Tampered:
    return Tampered(
        "log-changed", f"The log does not lead to the checkpoint of {head.size} entries; run `imprimatur audit verify`"
    )
