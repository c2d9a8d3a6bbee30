"""The release bundle, pulled from the server every few seconds and held in memory until it expires."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import structlog

from imprimatur.core.clock import Clock
from imprimatur.core.errors import BadInput, Fault, ImprimaturError, Tampered, Unavailable
from imprimatur.core.keychain import ring_at
from imprimatur.core.signing import KeyRing
from imprimatur.serving.answers import document_of, keys_in, unreachable
from imprimatur.serving.bundle import open_bundle
from imprimatur.serving.model import Bundle

_PATIENCE = httpx.Timeout(10.0)
_log = structlog.get_logger("imprimatur.gateway")


class Feed:
    """Pulls bundles and keeps the last good one.

    A bundle that can't be had or does not verify changes nothing: the held one stays in force until its own expiry.
    """

    def __init__(self, address: str, key: Path, clock: Clock, *, seconds: float) -> None:
        self._address = address
        self._key = key
        self._clock = clock
        self._seconds = seconds
        self._given: KeyRing | None = None
        self._ring: KeyRing | None = None
        self._held: Bundle | None = None
        self.problem: ImprimaturError | None = None

    @property
    def held(self) -> Bundle | None:
        """The last good bundle, expired or not."""
        return self._held

    def current(self) -> Bundle:
        """The bundle in force. Raises Unavailable ``no-bundle`` or ``bundle-expired``."""
        if self._held is None:
            why = f": {self.problem.message}" if self.problem else ""
            raise Unavailable("no-bundle", f"No release bundle has come from the server yet, so nothing is served{why}")
        self._held.require_fresh(self._clock())
        return self._held

    def age(self) -> float:
        """Seconds since the held bundle was issued; not a number where there is none."""
        return (self._clock() - self._held.issued_at).total_seconds() if self._held else float("nan")

    async def run(self, on_bundle: Callable[[Bundle], None]) -> None:
        """Pull for ever; hand every bundle that is taken to ``on_bundle``."""
        async with httpx.AsyncClient(timeout=_PATIENCE) as http:
            while True:
                await self._attempt(http, on_bundle)
                await asyncio.sleep(self._seconds)

    async def _attempt(self, http: httpx.AsyncClient, on_bundle: Callable[[Bundle], None]) -> None:
        try:
            bundle = await self._pull(http)
        except ImprimaturError as error:
            self._note(error)
            return
        self.problem = None
        self._held = bundle
        on_bundle(bundle)

    def _note(self, error: ImprimaturError) -> None:
        if self.problem is None or self.problem.code != error.code:
            _log.warning("bundle.not-taken", code=error.code, message=error.message)
        self.problem = error

    async def _pull(self, http: httpx.AsyncClient) -> Bundle:
        ring = self._ring or await self._trusted(http)
        document = await self._fetch(http, "bundle")
        try:
            bundle = open_bundle(document, ring)
        except Tampered:  # perhaps by a key that succeeded since
            bundle = open_bundle(document, await self._trusted(http))
        bundle.require_fresh(self._clock())
        if self._held is not None and bundle.serial < self._held.serial:
            raise Tampered(
                "bundle-replayed",
                f"The server sent bundle {bundle.serial} after bundle {self._held.serial} (expected a later one); "
                "an older bundle could bring back what was revoked since",
            )
        return bundle

    async def _trusted(self, http: httpx.AsyncClient) -> KeyRing:
        """The keys that we were given, and those that signed statements lead to from them."""
        self._given = self._given or self._read_key()
        self._ring = keys_in(await self._fetch(http, "keys"), self._given)
        return self._ring

    async def _fetch(self, http: httpx.AsyncClient, what: str) -> dict[str, object]:
        try:
            response = await http.get(f"{self._address}/api/v1/{what}")
        except httpx.HTTPError as error:
            raise unreachable(what, error) from error
        return document_of(response, what)

    def _read_key(self) -> KeyRing:
        """The server's public key and those that its history leads to; read once, so that whoever changes the file
        later does not change whom we trust."""
        try:
            return ring_at(self._key)
        except BadInput as error:
            raise Fault(
                "no-decision-key",
                f"{error.message}; start the server once, or set IMPRIMATUR_DECISION_KEY to the file",
            ) from error
