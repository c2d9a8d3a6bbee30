"""Signed checkpoints: what the log was, kept as files outside the database, for whoever edits the database to miss.

A checkpoint is a note of C2SP's form (https://c2sp.org/tlog-checkpoint), which witnesses and other programs can read:
origin, size and root, signed. Beside it lie the hashes of the entries since the checkpoint before, so that a changed
entry can be named and not just noticed; they need no signature, since only the true ones lead to the signed root.
Copy the folder to another machine, and a cut tail shows too where somebody cut the folder as well.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imprimatur.audit import store
from imprimatur.audit.merkle import grow, leaf_hash, root_of
from imprimatur.audit.model import Checkpoint, Finding, FindingKind, TreeHead
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import Tampered
from imprimatur.core.files import write_durably
from imprimatur.core.keychain import KeyChain
from imprimatur.core.notes import exact_base64, open_note, sign_note
from imprimatur.core.signing import KeyRing

SUFFIX = ".checkpoint"
_HASHES = ".hashes.json"
_HASH = 32
_PREFIX = "sha256:"


@dataclass
class Covered:
    """What a folder of checkpoints says: roots by signed size, entries' hashes by index, and what is wrong with it."""

    roots: dict[int, str] = field(default_factory=dict)
    leaves: dict[int, bytes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many entries the newest checkpoint covers."""
        return next(reversed(self.roots), 0)

    def add(self, name: str, checkpoint: Checkpoint) -> None:
        """Take one more checkpoint, from the file ``name``; the oldest comes first."""
        if checkpoint.start > self.size and not self.findings:  # an unreadable one is named already
            message = f"The checkpoint before {name} is missing (expected one of {checkpoint.start} entries)"
            self.findings.append(Finding(FindingKind.CHECKPOINT, None, message))
        self.roots[checkpoint.head.size] = checkpoint.head.root
        for index, leaf in enumerate(checkpoint.leaves, checkpoint.start):
            if self.leaves.setdefault(index, leaf) != leaf:
                message = f"Checkpoint {name} contradicts an earlier one about entry {index}"
                self.findings.append(Finding(FindingKind.CHECKPOINT, index, message))


def write_checkpoint(log: AuditLog, folder: Path, keys: KeyChain, origin: str) -> Path | None:
    """Sign what was appended since the last checkpoint into a new file in ``folder``; None where nothing was.

    Nothing is signed that does not fit: raises Tampered ``log-truncated`` where the log is shorter than it was at the
    last checkpoint, ``log-changed`` where an entry or the head is not what was appended, and ``bad-signature`` or
    ``bad-checkpoint`` where the last checkpoint is not our own.
    """
    files = checkpoint_files(folder)
    previous = _read(files[-1], keys.ring) if files else None
    checkpoint = _next(log, previous)
    if checkpoint is None:
        return None
    target = folder / f"{checkpoint.head.size:012d}{SUFFIX}"
    write_durably(_hashes_of(target), json.dumps(_document(checkpoint)).encode())
    write_durably(target, sign_note(_text(origin, checkpoint.head), origin, keys.current).encode())
    return target


def read_checkpoints(folder: Path, keys: KeyRing) -> Covered:
    """Everything that the checkpoints in ``folder`` say, as far as ``keys`` signed it."""
    covered = Covered()
    for file in checkpoint_files(folder):
        try:
            covered.add(file.name, _read(file, keys))
        except Tampered as error:
            covered.findings.append(Finding(FindingKind.CHECKPOINT, None, f"Checkpoint {file.name}: {error.message}"))
    return covered


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints in ``folder``, the oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def open_checkpoint(note: str, keys: KeyRing) -> TreeHead:
    """Size and root that a signed checkpoint states.

    Its origin is the name that it is signed under; lines after the root are passed over, as the form asks. Raises
    Tampered ``bad-note``, ``bad-signature`` or ``bad-checkpoint``.
    """
    origin = note.partition("\n")[0]
    text = open_note(note, origin, keys)
    try:
        _, size, root, *_ = text.splitlines()
        digest = exact_base64(root)
        if len(digest) != _HASH or str(int(size)) != size or int(size) < 0:
            raise ValueError(f"size {size!r} and root {root!r}")
    except ValueError as error:
        raise _bad_checkpoint(f"{error}; expected an origin, a size and a root of {_HASH} bytes") from error
    return TreeHead(int(size), _PREFIX + digest.hex())


def _next(log: AuditLog, previous: Checkpoint | None) -> Checkpoint | None:
    start = previous.head.size if previous else 0
    before = list(previous.frontier) if previous else []
    frontier, leaves = before, list[bytes]()
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
    if head != TreeHead(start + len(leaves), _PREFIX + root_of(frontier).hex()):
        raise _changed(f"its head ({head.size} entries, {head.root}) does not fit its entries")
    return Checkpoint(head, start, tuple(before), tuple(leaves)) if leaves else None


def _changed(how: str) -> Tampered:
    return Tampered("log-changed", f"The audit log was changed: {how}; run `imprimatur audit verify`")


def _bad_checkpoint(found: str) -> Tampered:
    return Tampered("bad-checkpoint", f"This is no checkpoint of ours (found {found})")


def _text(origin: str, head: TreeHead) -> str:
    return f"{origin}\n{head.size}\n{b64encode(bytes.fromhex(head.root.removeprefix(_PREFIX))).decode()}\n"


def _document(checkpoint: Checkpoint) -> Mapping[str, Any]:
    return {
        "start": checkpoint.start,
        "before": b64encode(b"".join(checkpoint.before)).decode(),
        "leaves": b64encode(b"".join(checkpoint.leaves)).decode(),
    }


def _hashes_of(file: Path) -> Path:
    return file.with_name(file.name.removesuffix(SUFFIX) + _HASHES)


def _read(file: Path, keys: KeyRing) -> Checkpoint:
    try:
        note, hashes = file.read_text(), json.loads(_hashes_of(file).read_text())
        head = open_checkpoint(note, keys)
        start, before, leaves = int(hashes["start"]), _joined(hashes["before"]), _joined(hashes["leaves"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _bad_checkpoint(f"{type(error).__name__}: {error}") from error
    found = Checkpoint(head, start, before, leaves)
    if file.name != f"{head.size:012d}{SUFFIX}":
        raise _bad_checkpoint(f"one about {head.size} entries in {file.name}")
    if (
        len(before) != start.bit_count()
        or TreeHead(start + len(leaves), _PREFIX + root_of(found.frontier).hex()) != head
    ):
        raise _bad_checkpoint(f"hashes in {_hashes_of(file).name} that do not lead to the signed root")
    return found


def _joined(text: str) -> tuple[bytes, ...]:
    joined = b64decode(text, validate=True)
    return tuple(joined[i : i + _HASH] for i in range(0, len(joined), _HASH))
