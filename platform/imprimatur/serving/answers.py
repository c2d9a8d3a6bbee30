"""What a server answers to those who verify: JSON objects, and the keys that its own key leads to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from imprimatur.core.errors import Tampered, Unavailable
from imprimatur.core.keychain import trusted
from imprimatur.core.signing import KeyRing

LARGEST = 64 << 20
"""Bytes of an answer at most; a bundle of a thousand releases with their decisions is a fraction of it."""


def ask(http: httpx.Client, address: str, what: str) -> dict[str, Any]:
    """The JSON object that the server at ``address`` answers to ``GET /api/v1/<what>``.

    Raises Unavailable ``server-unreachable``, Tampered ``answer-too-large`` and ``bad-bundle``.
    """
    data = bytearray()
    try:
        with http.stream("GET", _url(address, what)) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                _add(data, chunk, what)
    except httpx.HTTPError as error:
        raise _unreachable(what, error) from error
    return _document_in(data, what)


async def ask_meanwhile(http: httpx.AsyncClient, address: str, what: str) -> dict[str, Any]:
    """The same as ``ask``, while others go on."""
    data = bytearray()
    try:
        async with http.stream("GET", _url(address, what)) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                _add(data, chunk, what)
    except httpx.HTTPError as error:
        raise _unreachable(what, error) from error
    return _document_in(data, what)


def keys_in(document: Mapping[str, Any], given: KeyRing) -> KeyRing:
    """The keys that were given, and those that the signed statements in the server's key list lead to from them."""
    successions = document.get("successions")
    current = given.public_texts - given.retired_texts
    return trusted(current, successions if isinstance(successions, list) else [], given.retired_texts)


def _url(address: str, what: str) -> str:
    return f"{address.rstrip('/')}/api/v1/{what}"


def _add(data: bytearray, chunk: bytes, what: str) -> None:
    data += chunk
    if len(data) > LARGEST:
        raise Tampered(
            "answer-too-large",
            f"The server's {what} goes on after {len(data)} bytes (expected {LARGEST} at most); nothing of it was read",
        )


def _document_in(data: bytes | bytearray, what: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Tampered("bad-bundle", f"The server's {what} is no JSON that can be read ({error})") from error
    if not isinstance(document, dict):
        raise Tampered("bad-bundle", f"The server's {what} is a {type(document).__name__} (expected an object)")
    return document


def _unreachable(what: str, error: httpx.HTTPError) -> Unavailable:
    return Unavailable("server-unreachable", f"No {what} from {error.request.url} ({error})")
