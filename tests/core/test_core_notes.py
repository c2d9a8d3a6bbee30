"""Signed notes: the published form, what is refused, and agreement with other programs."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.core.errors import BadInput, Tampered
from imprimatur.core.notes import open_note, sign_note
from imprimatur.core.signing import KeyRing, SigningKey, public_text

NAME = "imprimatur.example/audit"
KEY = SigningKey.generate()
RING = KeyRing([KEY.public])
NOTE = sign_note("one\ntwo\n", NAME, KEY)


def test_a_note_signed_by_another_program_is_accepted() -> None:
    # the example of Go's golang.org/x/mod/sumdb/note, whose verifier key is
    # PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW
    raw = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    ring = KeyRing([public_text(Ed25519PublicKey.from_public_bytes(raw[1:]))])
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="

    assert open_note(f"{text}\n\N{EM DASH} PeterNeumann {signature}\n", "PeterNeumann", ring) == text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_what_was_signed_comes_back(line: str) -> None:
    assert open_note(sign_note(f"{line}\n", NAME, KEY), NAME, RING) == f"{line}\n"


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_a_note_with_any_other_letter_is_refused(place: int, letter: str) -> None:
    other = NOTE[:place] + letter + NOTE[place + 1 :]

    if other != NOTE:
        with pytest.raises(Tampered):
            open_note(other, NAME, RING)


def test_signatures_of_strangers_are_passed_over() -> None:
    stranger = sign_note("one\ntwo\n", "witness.example/w1", SigningKey.generate())
    together = NOTE + stranger.splitlines()[-1] + "\n"

    assert open_note(together, NAME, RING) == "one\ntwo\n"
    with pytest.raises(Tampered, match="No known key"):
        open_note(stranger, NAME, RING)
    with pytest.raises(Tampered, match="No known key"):
        open_note(NOTE, "another.example/audit", RING)


@pytest.mark.parametrize(
    ("text", "name"), [("no end", NAME), ("a\tb\n", NAME), ("a\n", ""), ("a\n", "two words"), ("a\n", "a+b")]
)
def test_what_is_no_note_is_not_signed(text: str, name: str) -> None:
    with pytest.raises(BadInput, match="plain lines"):
        sign_note(text, name, KEY)
