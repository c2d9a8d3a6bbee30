"""Whether the log is what was appended: every entry against its hash, the head, and the signed checkpoints."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from imprimatur.audit import store
from imprimatur.audit.checkpoints import Covered, read_checkpoints
from imprimatur.audit.merkle import grow, leaf_hash, root_of
from imprimatur.audit.model import Event, Finding, FindingKind, TreeHead, Verification
from imprimatur.audit.service import AuditLog
from imprimatur.core.signing import KeyRing

_MOST_PLACES = 1000


def verify(log: AuditLog, folder: Path, keys: KeyRing) -> Verification:
    """Read the whole log and say what is wrong with it, entry by entry."""
    covered = read_checkpoints(folder, keys)
    with log.database.reading() as session, closing(store.entries(session)) as entries:
        head = store.head_of(session)
        found = compare(entries, covered, head)
    return Verification(head, len(covered.roots), covered.size, (*covered.findings, *found))


@dataclass
class _Reading:
    """What was seen of the log: entries in their place, and those that don't belong where they stand."""

    in_place: set[int] = field(default_factory=set)
    strange: list[tuple[Event, bytes]] = field(default_factory=list)
    last: int = -1
    frontier: list[bytes] = field(default_factory=list)
    seen: int = 0
    unsigned: int | None = None

    def add(self, event: Event, stored: bytes, due: bytes | None, size: int, root: str | None) -> None:
        """Take one more entry, which is in place where its hash is the one that is due and was stored.

        ``root`` is what a checkpoint signed of everything up to it, if one did; ``unsigned`` is the first size at which
        that is something else.
        """
        leaf = leaf_hash(event.canonical())
        self.frontier = grow(self.frontier, self.seen, leaf)
        self.seen += 1
        if root is not None and root != self.root and self.unsigned is None:
            self.unsigned = self.seen
        self.last = event.index
        if leaf == stored and due in (leaf, None) and 0 <= event.index < size:
            self.in_place.add(event.index)
        else:
            self.strange.append((event, stored))

    @property
    def root(self) -> str:
        """The root of what was seen."""
        return "sha256:" + root_of(self.frontier).hex()


def compare(entries: Iterable[tuple[Event, bytes]], covered: Covered, head: TreeHead) -> list[Finding]:
    """What is wrong with ``entries`` (each with its stored hash), which should be what ``covered`` says.

    An entry without a hash there is held against its own stored one, and all of them together against ``head``.
    """
    due = covered.leaves
    size = max(head.size, covered.size)
    reading = _Reading()
    for event, stored in entries:
        reading.add(event, stored, due.get(event.index), size, covered.roots.get(reading.seen + 1))
    findings, settled = _strange(reading, due, size)
    for gap in _gaps(reading.in_place | settled, size):
        findings.append(_cut(gap) if gap.start > reading.last else _gone(gap, reading.last))
    if not findings and reading.unsigned is not None:
        findings.append(_unsigned(reading.unsigned))
    if not findings and (head.size, head.root) != (reading.seen, reading.root):
        findings.append(_unfit(head, reading.seen, reading.root))
    return sorted(findings, key=lambda finding: -1 if finding.entry is None else finding.entry)


def _strange(reading: _Reading, due: Mapping[int, bytes], size: int) -> tuple[list[Finding], set[int]]:
    """What each entry is that stands where it was not written, and the places that this accounts for."""
    findings, settled = [], set()
    places = list(islice(chain.from_iterable(_gaps(reading.in_place, size)), _MOST_PLACES))
    shift = 0
    for event, stored in reading.strange:
        origin = _origin(event, stored, due, [event.index + shift, *places], size)
        if origin is not None and origin != event.index:
            shift = origin - event.index
            settled.add(origin)
            findings.append(_moved(origin, event))
        elif 0 <= event.index < size:
            settled.add(event.index)
            findings.append(_altered(event))
        else:
            findings.append(_planted(event, size))
    return findings, settled


def _gaps(present: Collection[int], size: int) -> Iterator[range]:
    """The ranges below ``size`` that are not in ``present``.

    >>> list(_gaps({1, 2, 5}, 8))
    [range(0, 1), range(3, 5), range(6, 8)]
    """
    start = 0
    for index in sorted(present):
        if index > start:
            yield range(start, index)
        start = index + 1
    if start < size:
        yield range(start, size)


def _origin(event: Event, stored: bytes, due: Mapping[int, bytes], places: Iterable[int], size: int) -> int | None:
    """The index that the entry was written with, where it is one of ``places``."""
    for place in places:
        if 0 <= place < size and leaf_hash(replace(event, index=place).canonical()) == due.get(place, stored):
            return place
    return None


def _moved(origin: int, event: Event) -> Finding:
    message = f"Entry {origin} ({event.action} by {event.actor}) stands at {event.index}, expected at {origin}"
    return Finding(FindingKind.REORDERED, origin, message)


def _altered(event: Event) -> Finding:
    message = f"Entry {event.index} ({event.action} by {event.actor}) is not what was written there"
    return Finding(FindingKind.CHANGED, event.index, message)


def _planted(event: Event, size: int) -> Finding:
    message = f"Entry {event.index} ({event.action} by {event.actor}) was never appended (the log has {size} entries)"
    return Finding(FindingKind.ADDED, event.index, message)


def _gone(gap: range, last: int) -> Finding:
    message = f"Missing: {_named(gap)} (the log goes on to entry {last})"
    return Finding(FindingKind.MISSING, gap.start, message, len(gap))


def _cut(gap: range) -> Finding:
    message = f"The log ends early: {_named(gap)} cut off"
    return Finding(FindingKind.TRUNCATED, gap.start, message, len(gap))


def _named(gap: range) -> str:
    return f"entry {gap.start}" if len(gap) == 1 else f"entries {gap.start} to {gap.stop - 1}"


def _unsigned(size: int) -> Finding:
    message = f"The first {size} entries are not what their checkpoint signed; at least one of them was rewritten"
    return Finding(FindingKind.CHANGED, None, message)


def _unfit(head: TreeHead, seen: int, root: str) -> Finding:
    message = (
        f"The head says {head.size} entries with root {head.root}, the entries are {seen} with root {root}; "
        "what was appended after the last checkpoint, or the head, was rewritten"
    )
    return Finding(FindingKind.HEAD, None, message)
