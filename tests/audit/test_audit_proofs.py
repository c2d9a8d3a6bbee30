"""Proofs and exports: people without our database can check an event, two checkpoints, or the whole log."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from imprimatur.audit import commands
from imprimatur.audit.checkpoints import write_checkpoint
from imprimatur.audit.export import export_log, verify_export
from imprimatur.audit.merkle import consistency_path, continues, includes, inclusion_path, leaf_hash, root_over
from imprimatur.audit.model import Event
from imprimatur.audit.proofs import check_proof, prove, prove_consistency
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import utc_now
from imprimatur.core.database import Database
from imprimatur.core.errors import ImprimaturError, NotFound, Tampered
from imprimatur.core.keychain import KeyChain, open_chain, rotate
from imprimatur.core.settings import Settings
from imprimatur.core.signing import KeyRing, SigningKey

ORIGIN = "imprimatur.example/audit"


def _write(journal: AuditLog, count: int) -> None:
    with journal.unit_of_work("ana", "note.write", "digits/1") as unit:
        for n in range(count):
            unit.record("note.written", n=n, text="ä ß")


@pytest.fixture
def covered(journal: AuditLog, folder: Path, chain: KeyChain) -> AuditLog:
    """A log of 13 entries, of which checkpoints cover the first 5, then the first 11."""
    for count in (5, 6):
        _write(journal, count)
        write_checkpoint(journal, folder, chain, ORIGIN)
    _write(journal, 2)
    return journal


@given(st.integers(1, 70), st.data())
def test_a_path_leads_to_the_root_from_its_own_place_only(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(size)]
    index, other = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size - 1))
    root, path = root_over(leaves), inclusion_path(leaves, index)

    assert includes(root, size, leaves[index], index, path)
    assert includes(root, size, leaves[index], other, path) == (index == other)
    assert not includes(root, size, leaf_hash(b"another"), index, path)
    assert not includes(root, size, leaves[index], index, [*path, root])
    for spoiled in range(len(path)):
        changed = [*path[:spoiled], leaf_hash(b"another"), *path[spoiled + 1 :]]
        assert not includes(root, size, leaves[index], index, changed)


@given(st.integers(1, 70), st.data())
def test_a_log_that_goes_on_is_told_from_one_that_was_rewritten(size: int, data: st.DataObject) -> None:
    leaves = [leaf_hash(bytes([n])) for n in range(size)]
    old = data.draw(st.integers(1, size))
    root, before, path = root_over(leaves), root_over(leaves[:old]), consistency_path(leaves, old)
    rewritten = [leaf_hash(b"another"), *leaves[1:]]

    assert continues(before, old, root, size, path)
    assert not continues(root_over(rewritten[:old]), old, root, size, path)
    assert not continues(before, old, root_over(rewritten), size, consistency_path(rewritten, old))
    for spoiled in range(len(path)):
        changed = [*path[:spoiled], leaf_hash(b"another"), *path[spoiled + 1 :]]
        assert not continues(before, old, root, size, changed)


def test_every_covered_event_can_be_proven_to_who_has_the_public_key_only(
    covered: AuditLog, folder: Path, keys: KeyRing
) -> None:
    written = {event.index: event for event in covered.recent()}

    for index in range(11):
        proven = check_proof(prove(covered, folder, keys, index), keys)
        assert proven.event == written[index]
        assert proven.head.size == (5 if index < 5 else 11)


def test_a_proof_has_the_published_form(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    lines = prove(covered, folder, keys, 2).splitlines()

    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert Event.parse(base64.b64decode(lines[1].removeprefix("extra "))).index == 2
    assert lines[2] == "index 2"
    assert [len(base64.b64decode(line)) for line in lines[3:6]] == [32, 32, 32]
    assert lines[6:8] == ["", ORIGIN]


def test_any_changed_letter_of_a_proof_is_refused(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    proof = prove(covered, folder, keys, 7)

    for place in range(len(proof)):
        changed = proof[:place] + ("A" if proof[place] != "A" else "B") + proof[place + 1 :]
        with pytest.raises(ImprimaturError):
            check_proof(changed, keys)


def test_a_proof_by_another_key_is_refused(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    with pytest.raises(Tampered, match="No known key"):
        check_proof(prove(covered, folder, keys, 2), KeyRing([SigningKey.generate().public]))


@pytest.mark.parametrize(("index", "code"), [(11, "not-covered-yet"), (13, "no-such-event"), (-1, "no-such-event")])
def test_what_no_checkpoint_covers_is_not_proven(
    covered: AuditLog, folder: Path, keys: KeyRing, index: int, code: str
) -> None:
    with pytest.raises(NotFound) as refused:
        prove(covered, folder, keys, index)

    assert refused.value.code == code


def test_a_changed_log_proves_nothing(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    with covered.database.transaction() as session:
        session.execute(text("UPDATE imp_audit_event SET actor = 'eve' WHERE position = 3"))

    for index in (2, 3):
        with pytest.raises(Tampered):
            prove(covered, folder, keys, index)


def test_two_checkpoints_of_one_log_are_consistent(covered: AuditLog, folder: Path, keys: KeyRing) -> None:
    old, new = (file.read_text() for file in sorted(folder.glob("*.checkpoint")))

    proof = prove_consistency(covered, old, new, keys)

    assert (proof.old.size, proof.new.size) == (5, 11)
    assert prove_consistency(covered, new, old, keys) == proof
    assert prove_consistency(covered, new, new, keys).path == ()


def test_a_checkpoint_of_a_rewritten_log_is_not(
    covered: AuditLog, folder: Path, chain: KeyChain, keys: KeyRing
) -> None:
    kept = (folder / "000000000005.checkpoint").read_text()
    with covered.database.transaction() as session:
        session.execute(text("DELETE FROM imp_audit_event"))
        session.execute(text("DELETE FROM imp_audit_head"))
    _write(covered, 12)
    elsewhere = folder.with_name("elsewhere")
    written = write_checkpoint(covered, elsewhere, chain, ORIGIN)
    assert written is not None

    with pytest.raises(Tampered) as refused:
        prove_consistency(covered, kept, written.read_text(), keys)

    assert refused.value.code == "inconsistent"


@pytest.fixture
def exported(covered: AuditLog, folder: Path, chain: KeyChain, tmp_path: Path) -> Path:
    """The log, handed over."""
    chain.current.save(tmp_path / "keys" / "decision.pem")
    assert export_log(covered, folder, tmp_path / "keys" / "decision.pub", tmp_path / "export") == 13
    return tmp_path / "export"


def test_an_export_that_nobody_signed_is_told_from_one_that_somebody_did(exported: Path, keys: KeyRing) -> None:
    shutil.rmtree(exported / "checkpoints")

    (finding,) = verify_export(exported, keys).findings

    assert (finding.kind.value, finding.entry) == ("checkpoint", None)
    assert "No checkpoint covers the 13 entries" in finding.message


def test_an_export_verifies_and_holds_no_private_key(exported: Path, keys: KeyRing, chain: KeyChain) -> None:
    found = verify_export(exported, keys)

    assert (found.findings, found.head.size, found.covered, found.checkpoints) == ((), 13, 11, 2)
    assert [file.name for file in (exported / "keys").iterdir()] == ["decision.pub"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda lines: [*lines[:3], lines[3].replace(b"ana", b"eve"), *lines[4:]], [("changed", 3)]),
        (lambda lines: [*lines[:3], b"no JSON", *lines[4:]], [("changed", 3)]),
        (lambda lines: [*lines[:3], lines[3] + b" ", *lines[4:]], [("changed", 3)]),
        (lambda lines: lines[:3] + lines[4:], [("missing", 3)]),
        (lambda lines: lines[:8], [("truncated", 8)]),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], [("reordered", 3)]),
        (lambda lines: [], [("truncated", 0)]),
    ],
    ids=["changed", "unreadable", "spaced", "deleted", "cut", "swapped", "emptied"],
)
def test_what_was_done_to_an_export_is_named(exported: Path, keys: KeyRing, spoil, expected) -> None:  # type: ignore[no-untyped-def]
    file = exported / "events.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in spoil(file.read_bytes().splitlines())))

    assert [(found.kind.value, found.entry) for found in verify_export(exported, keys).findings] == expected


def _run(settings: Settings, *arguments: str) -> str:
    done = CliRunner().invoke(
        commands.app, list(arguments), env={"IMPRIMATUR_HOME": str(settings.home)}, catch_exceptions=False
    )
    assert done.exit_code == 0
    return done.stdout


def test_the_commands_hand_out_what_an_auditor_can_check_alone(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    journal = AuditLog(database)
    _write(journal, 4)
    write_checkpoint(journal, settings.checkpoints, open_chain(settings.decision_private), ORIGIN)
    kept = settings.checkpoints / "000000000004.checkpoint"
    rotate(settings.decision_private, utc_now())
    _write(journal, 3)
    export = tmp_path / "export"

    assert json.loads(_run(settings, "export", "--to", str(export), "--json"))["events"] == 7
    _run(settings, "prove", "5", "--to", str(tmp_path / "proof"))
    elsewhere = Settings(home=tmp_path / "elsewhere")
    verified = json.loads(_run(elsewhere, "verify", "--export", str(export), "--json"))
    key = str(export / "keys" / "decision.pub")
    proven = json.loads(_run(elsewhere, "verify", "--proof", str(tmp_path / "proof"), "--key", key, "--json"))
    consistent = json.loads(_run(settings, "consistency", str(kept), "--json"))

    assert (verified["size"], verified["covered"], verified["checkpoints"], verified["findings"]) == (7, 7, 2, [])
    assert (proven["event"]["index"], proven["event"]["subject"]) == (5, "digits/1")
    assert (consistent["old"]["size"], consistent["new"]["size"]) == (4, 7)
