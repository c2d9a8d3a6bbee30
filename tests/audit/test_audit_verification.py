"""Verification: whatever is done to the log behind our back is found, and named to the entry."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from imprimatur.audit import commands
from imprimatur.audit.checkpoints import Covered, write_checkpoint
from imprimatur.audit.merkle import grow, leaf_hash, root_of, root_over
from imprimatur.audit.model import Event, FindingKind, TreeHead
from imprimatur.audit.service import AuditLog
from imprimatur.audit.verification import compare, verify
from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.errors import Tampered
from imprimatur.core.keychain import KeyChain, open_chain
from imprimatur.core.settings import Settings
from imprimatur.core.signing import KeyRing, SigningKey

ORIGIN = "imprimatur.example/audit"
Found = list[tuple[str, int | None, int]]


def write(journal: AuditLog, count: int) -> None:
    """So many events."""
    with journal.unit_of_work("ana", "note.write", "digits/1") as unit:
        for n in range(count):
            unit.record("note.written", n=n)


def harm(journal: AuditLog, *statements: str) -> None:
    """Run SQL behind the log's back."""
    with journal.database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


def findings(journal: AuditLog, folder: Path, keys: KeyRing) -> Found:
    """What verification finds, as kind, entry and count."""
    return [(found.kind.value, found.entry, found.count) for found in verify(journal, folder, keys).findings]


@pytest.fixture
def covered(journal: AuditLog, folder: Path, chain: KeyChain) -> AuditLog:
    """A log of 12 entries, of which checkpoints cover the first 4, then the first 8."""
    for _ in range(2):
        write(journal, 4)
        write_checkpoint(journal, folder, chain, ORIGIN)
    write(journal, 4)
    return journal


def test_a_log_that_nobody_touched_is_whole(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    found = verify(covered, folder, keys)

    assert found.findings == ()
    assert (found.head.size, found.checkpoints, found.covered) == (12, 2, 8)


_CHANGE = "UPDATE imp_audit_event SET"
_DELETE = "DELETE FROM imp_audit_event WHERE position"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([f"{_CHANGE} actor = 'eve' WHERE position = 2"], [("changed", 2, 1)]),
        ([f"{_CHANGE} actor = 'eve' WHERE position = 10"], [("changed", 10, 1)]),
        ([f"{_CHANGE} detail = '{{}}' WHERE position = 5"], [("changed", 5, 1)]),
        ([f"{_CHANGE} detail = 'no JSON' WHERE position = 5"], [("changed", 5, 1)]),
        ([f"{_CHANGE} at = '2020-01-01 00:00:00' WHERE position = 5"], [("changed", 5, 1)]),
        ([f"{_DELETE} = 3"], [("missing", 3, 1)]),
        ([f"{_DELETE} BETWEEN 3 AND 5"], [("missing", 3, 3)]),
        ([f"{_DELETE} = 9"], [("missing", 9, 1)]),
        ([f"{_DELETE} >= 10"], [("truncated", 10, 2)]),
        ([f"{_DELETE} >= 6"], [("truncated", 6, 6)]),
        (["DELETE FROM imp_audit_event"], [("truncated", 0, 12)]),
        (
            [
                f"{_CHANGE} position = 99 WHERE position = 2",
                f"{_CHANGE} position = 2 WHERE position = 6",
                f"{_CHANGE} position = 6 WHERE position = 99",
            ],
            [("reordered", 2, 1), ("reordered", 6, 1)],
        ),
        (
            [
                f"{_CHANGE} position = 99 WHERE position = 9",
                f"{_CHANGE} position = 9 WHERE position = 10",
                f"{_CHANGE} position = 10 WHERE position = 99",
            ],
            [("reordered", 9, 1), ("reordered", 10, 1)],
        ),
        (
            [f"{_DELETE} = 9", *(f"{_CHANGE} position = {n - 1} WHERE position = {n}" for n in (10, 11))],
            [("missing", 9, 1), ("reordered", 10, 1), ("reordered", 11, 1)],
        ),
        (
            [
                "INSERT INTO imp_audit_event (position, at, actor, action, subject, detail, leaf) "
                "SELECT 12, at, 'eve', action, subject, detail, leaf FROM imp_audit_event WHERE position = 11"
            ],
            [("added", 12, 1)],
        ),
        (["UPDATE imp_audit_head SET size = 11"], [("added", 11, 1)]),
        (["UPDATE imp_audit_head SET frontier = leaf FROM imp_audit_event WHERE position = 1"], [("head", None, 1)]),
        (["DELETE FROM imp_audit_head", f"{_DELETE} >= 8"], [("head", None, 1)]),
    ],
)
def test_what_was_done_is_named(
    covered: AuditLog, folder: Path, keys: KeyRing, statements: list[str], expected: Found
) -> None:
    harm(covered, *statements)

    assert findings(covered, folder, keys) == expected


def rewrite(journal: AuditLog, alter: Callable[[int], str], size: int) -> None:
    """Write the log anew with its own code, every hash fitting, as somebody with our source could."""
    harm(journal, "DELETE FROM imp_audit_event", "DELETE FROM imp_audit_head")
    for n in range(size):
        with journal.unit_of_work(alter(n), "note.write", "digits/1") as unit:
            unit.record("note.written", n=n % 4)


def test_a_log_rewritten_as_a_whole_does_not_fit_its_checkpoints(
    covered: AuditLog, folder: Path, keys: KeyRing
) -> None:
    rewrite(covered, lambda n: "ana", 12)

    found = findings(covered, folder, keys)

    assert found == [("changed", n, 1) for n in range(8)]  # the time of each is another
    assert verify(covered, folder / "none", keys).findings == ()  # without checkpoints nobody could tell


def test_a_rewritten_tail_after_a_truncation_is_found_as_far_as_checkpoints_go(
    covered: AuditLog, folder: Path, chain: KeyChain, keys: KeyRing
) -> None:
    write_checkpoint(covered, folder, chain, ORIGIN)
    rewrite(covered, lambda n: "ana", 3)

    assert findings(covered, folder, keys) == [
        ("changed", 0, 1),
        ("changed", 1, 1),
        ("changed", 2, 1),
        ("truncated", 3, 9),
    ]


def test_a_checkpoint_says_what_was_appended_since_the_last(
    journal: AuditLog, folder: Path, chain: KeyChain, keys: KeyRing
) -> None:
    assert write_checkpoint(journal, folder, chain, ORIGIN) is None
    write(journal, 3)
    first = write_checkpoint(journal, folder, chain, ORIGIN)
    assert write_checkpoint(journal, folder, chain, ORIGIN) is None
    write(journal, 2)
    second = write_checkpoint(journal, folder, chain, ORIGIN)

    assert first is not None
    assert second is not None
    assert [first.name, second.name] == ["000000000003.checkpoint", "000000000005.checkpoint"]
    origin, size, root, empty, signature = second.read_text().splitlines()
    assert (origin, size, empty) == (ORIGIN, "5", "")
    assert "sha256:" + base64.b64decode(root).hex() == journal.head().root
    assert signature.startswith(f"\N{EM DASH} {ORIGIN} ")
    assert verify(journal, folder, keys).covered == 5


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (f"{_CHANGE} actor = 'eve' WHERE position = 9", "log-changed"),
        (f"{_DELETE} = 9", "log-changed"),
        (f"{_DELETE} = 11", "log-changed"),
        ("UPDATE imp_audit_head SET size = 7", "log-truncated"),
        ("UPDATE imp_audit_head SET frontier = leaf FROM imp_audit_event WHERE position = 1", "log-changed"),
    ],
)
def test_nothing_is_signed_that_does_not_fit(
    covered: AuditLog, folder: Path, chain: KeyChain, statement: str, code: str
) -> None:
    harm(covered, statement)
    if code == "log-truncated":
        harm(covered, f"{_DELETE} >= 7")
    before = sorted(folder.iterdir())

    with pytest.raises(Tampered) as refused:
        write_checkpoint(covered, folder, chain, ORIGIN)

    assert refused.value.code == code
    assert ("entry 9 is not" in refused.value.message) == ("actor = 'eve'" in statement)
    assert sorted(folder.iterdir()) == before


def test_a_checkpoint_that_we_did_not_sign_counts_for_nothing(
    covered: AuditLog, folder: Path, chain: KeyChain, keys: KeyRing
) -> None:
    other = folder.with_name("forged")
    write_checkpoint(covered, other, KeyChain(SigningKey.generate(), ()), ORIGIN)
    for file in other.iterdir():
        file.rename(folder / file.name)

    (finding,) = verify(covered, folder, keys).findings
    assert finding.kind is FindingKind.CHECKPOINT
    assert "000000000012.checkpoint" in finding.message
    with pytest.raises(Tampered):
        write_checkpoint(covered, folder, chain, ORIGIN)


@pytest.mark.parametrize("content", ["", "\n", "x", "x\n\n", f"{ORIGIN}\n4\nAAAA\n\n\N{EM DASH} {ORIGIN} AAAA\n"])
@pytest.mark.parametrize("suffix", [".checkpoint", ".hashes.json"])
def test_an_unreadable_checkpoint_is_a_finding(
    covered: AuditLog, folder: Path, keys: KeyRing, suffix: str, content: str
) -> None:
    (folder / f"000000000004{suffix}").write_text(content)

    found = verify(covered, folder, keys)

    assert [finding.kind for finding in found.findings] == [FindingKind.CHECKPOINT]
    assert (found.checkpoints, found.covered) == (1, 8)


@pytest.mark.parametrize("part", ["before", "leaves"])
def test_hashes_that_do_not_lead_to_the_signed_root_are_a_finding(
    covered: AuditLog, folder: Path, keys: KeyRing, part: str
) -> None:
    file = folder / "000000000008.hashes.json"
    hashes = json.loads(file.read_text())
    file.write_text(json.dumps({**hashes, part: base64.b64encode(b"x" * 32 * len(hashes[part])).decode()}))

    assert [finding.kind for finding in verify(covered, folder, keys).findings] == [FindingKind.CHECKPOINT]


def test_a_renamed_checkpoint_is_a_finding(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    for suffix in (".checkpoint", ".hashes.json"):
        (folder / f"000000000008{suffix}").rename(folder / f"000000000009{suffix}")

    assert [finding.kind for finding in verify(covered, folder, keys).findings] == [FindingKind.CHECKPOINT]


def test_servers_that_write_checkpoints_side_by_side_agree(
    journal: AuditLog, folder: Path, chain: KeyChain, keys: KeyRing
) -> None:
    elsewhere = folder.with_name("elsewhere")
    write(journal, 3)
    write_checkpoint(journal, folder, chain, ORIGIN)
    write(journal, 2)
    late = write_checkpoint(journal, elsewhere, chain, ORIGIN)  # knows nothing of the first
    assert late is not None
    for file in elsewhere.iterdir():
        file.rename(folder / file.name)

    assert verify(journal, folder, keys).findings == ()


def whole(count: int) -> tuple[list[tuple[Event, bytes]], TreeHead]:
    """A log of so many entries, in memory."""
    frontier: list[bytes] = []
    entries = []
    for n in range(count):
        event = Event(n, utc_now(), f"person {n}", "note.written", "digits/1", {"n": n})
        leaf = leaf_hash(event.canonical())
        frontier = grow(frontier, n, leaf)
        entries.append((event, leaf))
    return entries, TreeHead(count, "sha256:" + root_of(frontier).hex())


def signed_of(entries: list[tuple[Event, bytes]], *sizes: int) -> Covered:
    """What checkpoints of these sizes say of the log."""
    leaves = [leaf for _, leaf in entries]
    return Covered(
        {size: "sha256:" + root_over(leaves[:size]).hex() for size in sizes},
        dict(enumerate(leaves[: max(sizes, default=0)])),
    )


@pytest.mark.parametrize("place", range(2, 6))
def test_an_entry_that_was_rewritten_with_everything_that_nobody_signed_is_found(place: int) -> None:
    entries, _ = whole(8)
    signed = signed_of(entries, 2, 6, 8)
    for index in range(2, 6):  # the checkpoint of six is gone
        del signed.leaves[index]
    del signed.roots[6]
    changed = replace(entries[place][0], actor="mallory")
    entries[place] = (changed, leaf_hash(changed.canonical()))
    head = TreeHead(8, "sha256:" + root_over(leaf for _, leaf in entries).hex())

    (finding,) = compare(entries, signed, head)

    assert (finding.kind, "at least one of them was rewritten" in finding.message) == (FindingKind.CHANGED, True)


def test_a_missing_checkpoint_is_found(journal: AuditLog, folder: Path, chain: KeyChain, keys: KeyRing) -> None:
    for _ in range(3):
        write(journal, 2)
        write_checkpoint(journal, folder, chain, ORIGIN)
    (folder / "000000000004.checkpoint").unlink()

    found = verify(journal, folder, keys)

    assert [finding.kind for finding in found.findings] == [FindingKind.CHECKPOINT]
    assert "The checkpoint before 000000000006.checkpoint is missing" in found.findings[0].message
    assert (found.checkpoints, found.covered) == (2, 6)


@given(st.integers(0, 30), st.data())
def test_any_other_sequence_of_entries_has_findings(count: int, data: st.DataObject) -> None:
    entries, head = whole(count)
    covered = data.draw(st.integers(0, count))
    signed = signed_of(entries, *([covered] if covered else []))
    kept = data.draw(st.lists(st.sampled_from(range(count)), unique=True) if count else st.just([]))
    shuffled = [entries[index] for index in kept]

    if kept == list(range(count)):
        assert compare(shuffled, signed, head) == []
    else:
        assert compare(shuffled, signed, head) != []


def verify_home(settings: Settings, *options: str) -> tuple[int, str]:
    """Exit status and standard output of `imprimatur audit verify` in this home."""
    done = CliRunner().invoke(commands.app, ["verify", *options], env={"IMPRIMATUR_HOME": str(settings.home)})
    if isinstance(done.exception, Tampered):
        return done.exception.exit_status, done.stdout
    return done.exit_code, done.stdout


def test_the_command_verifies_the_home_folder(settings: Settings, database: Database) -> None:
    chain = open_chain(settings.decision_private)
    journal = AuditLog(database)
    write(journal, 3)
    write_checkpoint(journal, settings.checkpoints, chain, ORIGIN)

    status, printed = verify_home(settings)
    assert status == 0
    assert "3 entries" in printed
    status, printed = verify_home(settings, "--json")
    assert (status, json.loads(printed)["findings"]) == (0, [])

    harm(journal, f"{_DELETE} = 1")
    status, printed = verify_home(settings)
    assert status == 1
    assert "missing" in printed
    status, printed = verify_home(settings, "--json")
    document = json.loads(printed)
    assert (status, document["size"], document["checkpoints"], document["covered"]) == (1, 3, 1, 3)
    assert [(found["kind"], found["entry"]) for found in document["findings"]] == [("missing", 1)]
