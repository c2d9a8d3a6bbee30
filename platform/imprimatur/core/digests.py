"""Digests and canonical JSON: how a thing is named by its content.

A digest is text of the form ``sha256:`` followed by 64 lower-case hexadecimal digits.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import rfc8785

from imprimatur.core.errors import BadInput

Json: TypeAlias = "None | bool | int | float | str | Sequence[Json] | Mapping[str, Json]"
Digest: TypeAlias = str

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 1 << 20


def digest_of_bytes(data: bytes) -> Digest:
    """The SHA-256 digest of ``data``.

    >>> digest_of_bytes(b"")
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> Digest:
    """The SHA-256 digest of the file's bytes, read in chunks of 1 MiB."""
    running = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            running.update(chunk)
    return "sha256:" + running.hexdigest()


def canonical_json(value: object) -> bytes:
    """``value`` as RFC 8785 canonical JSON: one byte sequence for one document.

    Raises BadInput ``not-canonical`` where JSON has no exact form for the value: NaN, infinities, integers beyond
    2^53, lone surrogates, keys that are not text, nesting beyond Python's own limit.

    >>> canonical_json({"b": 1.0, "a": "é"})
    b'{"a":"\\xc3\\xa9","b":1}'
    """
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:
        raise BadInput(
            "not-canonical",
            f"This document has no exact JSON form: {error} (expected finite numbers, integers up to 2^53, UTF-8 text)",
        ) from error


def digest_of_json(value: object) -> Digest:
    """The digest of ``value``'s canonical JSON."""
    return digest_of_bytes(canonical_json(value))


def is_digest(text: str) -> bool:
    """Whether ``text`` has the form of a digest.

    >>> is_digest("sha256:" + "0" * 64), is_digest("sha256:abc")
    (True, False)
    """
    return _DIGEST.fullmatch(text) is not None


def short(digest: Digest) -> str:
    """The first 12 hexadecimal digits, for people to recognise a digest by."""
    return digest.removeprefix("sha256:")[:12]


def new_id(kind: str) -> str:
    """A fresh random identifier such as ``dec-0f8e…``, with its kind in front so that a log reads well."""
    return f"{kind}-{uuid.uuid4().hex[:20]}"
