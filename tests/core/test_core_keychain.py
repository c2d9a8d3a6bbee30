"""Rotation: old signatures hold, a crash leaves one key in force, and nobody can add a key who has none."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from imprimatur.core.clock import utc_now
from imprimatur.core.errors import BadInput, Tampered
from imprimatur.core.keychain import SUCCESSION_TYPE, KeyChain, open_chain, ring_at, rotate, trusted
from imprimatur.core.signing import SigningKey

KIND = "application/vnd.example+json"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the key is."""
    return tmp_path / "keys" / "decision.pem"


def _rotated(path: Path, times: int) -> list[KeyChain]:
    return [open_chain(path), *(rotate(path, utc_now()) for _ in range(times))]


def test_old_signatures_verify_and_new_ones_too(path: Path) -> None:
    chains = _rotated(path, 3)
    envelopes = [chain.current.sign(KIND, {"n": n}) for n, chain in enumerate(chains)]

    for ring in (open_chain(path).ring, ring_at(path.with_suffix(".pub"))):
        assert [ring.open(envelope, KIND)["n"] for envelope in envelopes] == [0, 1, 2, 3]
    assert len({chain.current.key_id for chain in chains}) == 4


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_whoever_trusts_one_key_can_follow_to_the_others(path: Path, kept: int) -> None:
    chains = _rotated(path, 2)

    ring = trusted([chains[kept].current.public], chains[-1].statements)

    assert ring.key_ids == {chain.current.key_id for chain in chains}


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_only_the_key_that_one_trusts_and_those_after_it_say_what_is_so_now(path: Path, kept: int) -> None:
    chains = _rotated(path, 2)
    ring = trusted([chains[kept].current.public], chains[-1].statements)

    for number, chain in enumerate(chains):
        envelope = chain.current.sign(KIND, {"n": number})
        assert ring.open(envelope, KIND) == {"n": number}
        if number >= kept:
            assert ring.open_current(envelope, KIND) == {"n": number}
        else:
            with pytest.raises(Tampered, match="was replaced") as refusal:
                ring.open_current(envelope, KIND)
            assert refusal.value.code == "retired-key"


def test_a_stolen_old_key_can_name_no_key_that_says_what_is_so_now(path: Path) -> None:
    old, new = _rotated(path, 1)
    planted = SigningKey.generate()
    statement = {"old": old.current.public, "new": planted.public, "at": "2026-01-01T00:00:00Z"}
    forged = [key.sign(SUCCESSION_TYPE, statement).document() for key in (old.current, planted)]

    ring = trusted([new.current.public], [*new.statements, *forged])

    with pytest.raises(Tampered, match="was replaced"):
        ring.open_current(planted.sign(KIND, {}), KIND)


def test_statements_by_strangers_take_no_time_to_pass_over(path: Path) -> None:
    chain, stranger = _rotated(path, 1)[-1], SigningKey.generate()
    foreign = stranger.sign(SUCCESSION_TYPE, {"old": stranger.public, "new": stranger.public}).document()
    begun = time.process_time()

    ring = trusted([chain.current.public], [foreign] * 5000)

    assert ring.key_ids == {chain.current.key_id}
    assert time.process_time() - begun < 5  # a tenth of a second; half a minute where each is read for each


def test_the_old_private_key_is_gone_and_the_new_one_is_private(path: Path) -> None:
    before, after = _rotated(path, 1)

    assert SigningKey.load_or_create(path).key_id == after.current.key_id != before.current.key_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "decision.history.json",
        "decision.pem",
        "decision.pub",
    ]
    assert path.with_suffix(".pub").read_text() == after.current.public


def test_a_statement_by_a_stranger_adds_no_key(path: Path) -> None:
    chain, stranger, planted = open_chain(path), SigningKey.generate(), SigningKey.generate()
    pair = {"old": chain.current.public, "new": planted.public, "at": "2026-01-01T00:00:00Z"}
    by_others = [key.sign("application/vnd.imprimatur.key-succession+json", pair) for key in (stranger, planted)]
    foreign = {"old": stranger.public, "new": planted.public, "at": "2026-01-01T00:00:00Z"}
    about_others = chain.current.sign("application/vnd.imprimatur.key-succession+json", foreign)

    ring = trusted([chain.current.public], [one.document() for one in (*by_others, about_others)])

    assert ring.key_ids == {chain.current.key_id}


def test_a_changed_statement_is_found(path: Path) -> None:
    chain = _rotated(path, 1)[-1]
    spoiled = [{**statement, "payload": "e30="} for statement in chain.statements]

    with pytest.raises(Tampered, match="signature"):
        trusted([chain.current.public], spoiled)


@pytest.mark.parametrize("written", [True, False], ids=["after the statements", "before the statements"])
def test_a_rotation_that_was_cut_short_is_completed_or_undone(path: Path, *, written: bool) -> None:
    old, new = _rotated(path, 1)
    new.current.save(path.with_name("decision.next.pem"))
    old.current.save(path)
    if not written:
        path.with_name("decision.history.json").unlink()

    chain = open_chain(path)

    assert chain.current.key_id == (new if written else old).current.key_id
    assert open_chain(path).current.key_id == chain.current.key_id
    assert path.with_suffix(".pub").read_text() == chain.current.public
    assert not list(path.parent.glob("*.next.*"))


@pytest.mark.parametrize("content", ["{", "{}", "[1]", '[{"payload": 1}]', "null"])
def test_an_unreadable_history_is_an_error_and_no_empty_one(path: Path, content: str) -> None:
    open_chain(path)
    path.with_name("decision.history.json").write_text(content)

    with pytest.raises(Tampered) as refused:
        open_chain(path)

    assert refused.value.code == "bad-key-history"


@pytest.mark.parametrize("content", [None, "", "no key", json.dumps({})])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "decision.pub"
    if content is not None:
        file.write_text(content)

    with pytest.raises(BadInput, match=r"decision\.pub"):
        ring_at(file)
