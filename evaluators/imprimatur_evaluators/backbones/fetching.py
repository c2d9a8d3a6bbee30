"""Bringing published weights into the catalogue: over https, or from a folder for networks that reach nothing.

Nothing is kept before its digest is known to be right. Where no digest is published, the first file's is recorded as
such, and a later one that differs is refused. Only the file is asked for: no counting, no telemetry, no other request;
``HF_HUB_OFFLINE`` forbids even that, and ``HF_ENDPOINT`` names another hub.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from imprimatur_evaluators.backbones.catalogue import Catalogue, DigestOrigin, Entry, Incoming, check_digest
from imprimatur_evaluators.backbones.publication import Published
from imprimatur_evaluators.backbones.published import published
from imprimatur_evaluators.errors import BadWeights

Progress = Callable[[int, int | None], None]
"""Called with the bytes that have come and the bytes expected, None where the server does not say."""

_THIS_MACHINE = frozenset({"localhost", "127.0.0.1", "::1"})
_MISSING = 404
_OFF = frozenset({"", "0", "no", "off", "false"})
_TIMEOUT = httpx.Timeout(30.0)


def fetch(name: str, catalogue: Catalogue, *, again: bool = False, progress: Progress | None = None) -> Entry:
    """The entry of known weights, downloaded unless they are there already, or in any case where ``again``.

    Raises BadWeights 'no-such-weights', 'tokenizer-not-included', 'offline', 'insecure-address', 'download-failed',
    'digest-differs', 'unknown-format' or 'executable-weights'; then the catalogue is as it was.
    """
    known = {entry.name: entry for entry in catalogue.entries()}
    if name in known and not again:
        return catalogue.verify(name)
    return fetch_published(published(name), catalogue, known.get(name), progress)


def fetch_published(
    wanted: Published, catalogue: Catalogue, before: Entry | None = None, progress: Progress | None = None
) -> Entry:
    """The entry of ``wanted``, downloaded; where no digest is published, it must equal that of ``before``, if any."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() not in _OFF:
        raise BadWeights("offline", f"HF_HUB_OFFLINE forbids fetching '{wanted.name}'; bring the file and import it")
    expected = wanted.digest or (before.digest if before is not None else None)
    origin = DigestOrigin.PUBLISHED if wanted.digest else DigestOrigin.FIRST_FETCH
    with catalogue.incoming() as incoming, _client() as client:
        address = _download(client, wanted, incoming, progress or (lambda done, whole: None))
        check_digest(wanted.name, incoming.finish(), expected, address)
        return catalogue.keep(
            wanted.name,
            incoming,
            wanted.config,
            licence=wanted.licence,
            source=f"{wanted.source} ({address})",
            digest_origin=origin,
        )


def import_published(name: str, place: Path, catalogue: Catalogue) -> Entry:
    """The entry of known weights that were brought as the file ``place``, or as a file in the folder ``place``.

    Raises BadWeights 'digest-differs' where a digest is published and the file has another, and what ``add`` raises.
    """
    wanted = published(name)
    return catalogue.add(
        name,
        _file_in(place, wanted),
        wanted.config,
        licence=wanted.licence,
        source=wanted.source,
        digest_origin=DigestOrigin.PUBLISHED if wanted.digest else DigestOrigin.IMPORT,
        expected=wanted.digest,
    )


def _file_in(place: Path, wanted: Published) -> Path:
    if not place.is_dir():
        return place
    found = [place / name for name in wanted.file_names if (place / name).is_file()]
    if not found:
        names = " or ".join(wanted.file_names)
        raise BadWeights("weights-missing", f"the folder {place} has no file of '{wanted.name}' (expected {names})")
    return found[0]


def _client() -> httpx.Client:
    return httpx.Client(
        follow_redirects=True,
        timeout=_TIMEOUT,
        headers={"Accept-Encoding": "identity", "User-Agent": "imprimatur"},
        event_hooks={"request": [_check_secure]},
    )


def _check_secure(request: httpx.Request) -> None:
    if request.url.scheme != "https" and request.url.host not in _THIS_MACHINE:
        raise BadWeights("insecure-address", f"weights are fetched over https only (got {request.url})")


def _download(client: httpx.Client, wanted: Published, incoming: Incoming, progress: Progress) -> str:
    """The first of the addresses that exists, once all its bytes have come."""
    for address in wanted.addresses:
        try:
            if _stream(client, address, incoming, progress):
                return address
        except httpx.HTTPError as error:
            raise BadWeights(
                "download-failed",
                f"'{wanted.name}' did not come whole from {address}: {error}; try again, or import the file",
            ) from error
    tried = ", ".join(wanted.addresses)
    raise BadWeights("download-failed", f"'{wanted.name}' is not at {tried}; bring the file and import it")


def _stream(client: httpx.Client, address: str, incoming: Incoming, progress: Progress) -> bool:
    with client.stream("GET", address) as answer:
        if answer.status_code == _MISSING:
            return False
        answer.raise_for_status()
        whole = _whole(answer.headers)
        for chunk in answer.iter_raw():
            incoming.write(chunk)
            progress(incoming.size, whole)
    if whole is not None and incoming.size != whole:
        raise httpx.RemoteProtocolError(f"got {incoming.size} bytes, expected {whole}")
    return True


def _whole(headers: Mapping[str, Any]) -> int | None:
    stated = headers.get("Content-Length", "")
    return int(stated) if stated.isdigit() else None
