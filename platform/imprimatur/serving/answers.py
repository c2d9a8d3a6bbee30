"""What a server answers to those who verify: JSON objects, and the keys that its own key leads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from imprimatur.core.errors import Tampered, Unavailable
from imprimatur.core.keychain import trusted
from imprimatur.core.signing import KeyRing


def document_of(response: httpx.Response, what: str) -> dict[str, Any]:
    """The JSON object in ``response``. Raises Unavailable ``server-unreachable``, Tampered ``bad-bundle``."""
    try:
        response.raise_for_status()
        document = response.json()
    except httpx.HTTPError as error:
        raise unreachable(what, error) from error
    except ValueError as error:
        raise Tampered("bad-bundle", f"The server's {what} is no JSON ({error})") from error
    if not isinstance(document, dict):
        raise Tampered("bad-bundle", f"The server's {what} is a {type(document).__name__}, no object")
    return document


def keys_in(document: Mapping[str, Any], given: KeyRing) -> KeyRing:
    """The keys that were given, and those that the signed statements in the server's key list lead to from them."""
    successions = document.get("successions")
    return trusted(given.public_texts, successions if isinstance(successions, list) else [])


def unreachable(what: str, error: httpx.HTTPError) -> Unavailable:
    """The error for a server that does not answer."""
    return Unavailable("server-unreachable", f"No {what} from {error.request.url} ({error})")
