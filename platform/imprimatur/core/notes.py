"""Signed notes: a text that people and other programs can read, with Ed25519 signatures below it.

Source of the form: https://c2sp.org/signed-note. A key is known by a name and four bytes of a hash over name and key.
"""

from __future__ import annotations

import base64
import hashlib
import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from imprimatur.core.errors import BadInput, Tampered
from imprimatur.core.signing import KeyRing, SigningKey, public_key

_ED25519 = b"\x01"
_ID = 4
_SIGNATURES = 16
_NAME = re.compile(r"[^\s+]+")
_SIGNATURE = re.compile(r"\N{EM DASH} ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


def sign_note(text: str, name: str, key: SigningKey) -> str:
    """``text`` (lines, each ended) signed by ``key`` under ``name``. Raises BadInput ``bad-note``."""
    if not text.endswith("\n") or not _is_plain(text) or not _NAME.fullmatch(name):
        raise BadInput(
            "bad-note", f"A note is plain lines under a name without spaces or '+' (got {text[:40]!r} under {name!r})"
        )
    signature = _note_key_id(name, public_key(key.public)) + key.sign_text(text)
    return f"{text}\n\N{EM DASH} {name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, name: str, ring: KeyRing) -> str:
    """The text of a note, once one of the ring's keys is found to have signed it under ``name``.

    Signatures of other keys are passed over. Raises Tampered ``bad-note`` where it has another form, ``bad-signature``
    where no known key signed it, or one is said to have and did not.
    """
    text, signatures = _parted(note)
    known = {_note_key_id(name, key): key for key in ring.public_keys}
    signed = False
    for whose, signature in signatures:
        key = known.get(signature[:_ID]) if whose == name else None
        if key is not None:
            _check(key, signature[_ID:], text)
            signed = True
    if not signed:
        raise Tampered("bad-signature", f"No known key signed this note as {name!r}")
    return text


def exact_base64(text: str) -> bytes:
    """The bytes that ``text`` is the one spelling of. Raises ValueError, also for unused bits that are set."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("base64 with bits that mean nothing")
    return data


def _parted(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    body, separator, below = note.rpartition("\n\n")
    lines = below.splitlines()
    found = [_SIGNATURE.fullmatch(line) for line in lines]
    if not separator or not below.endswith("\n") or not 0 < len(lines) <= _SIGNATURES or not _is_plain(note):
        raise _bad_note("no text, a blank line, and signatures below it")
    try:
        signatures = [(match[1], exact_base64(match[2])) for match in found if match]
    except ValueError as error:
        raise _bad_note(str(error)) from error
    if len(signatures) < len(lines):
        raise _bad_note("a line below the text that is no signature")
    return f"{body}\n", signatures


def _check(key: Ed25519PublicKey, signature: bytes, text: str) -> None:
    try:
        key.verify(signature, text.encode())
    except InvalidSignature as error:
        raise Tampered("bad-signature", "The signature of this note does not match its text") from error


def _note_key_id(name: str, key: Ed25519PublicKey) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw()).digest()[:_ID]


def _is_plain(text: str) -> bool:
    return all(letter == "\n" or letter >= " " for letter in text)


def _bad_note(found: str) -> Tampered:
    return Tampered("bad-note", f"This is no signed note (found {found}; see c2sp.org/signed-note)")
