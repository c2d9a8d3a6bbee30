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
from imprimatur.serving.answers import ask_meanwhile, keys_in
from imprimatur.serving.bundle import open_bundle
from imprimatur.serving.model import Bundle
from imprimatur.serving.serials import Serials

_PATIENCE = httpx.Timeout(10.0)
_log = structlog.get_logger("imprimatur.gateway")


class Feed:
    """Pulls bundles and keeps the last good one.

    A bundle that can't be had or does not verify changes nothing: the held one stays in force until its own expiry.
    None is taken that is older than one that was taken before, also before a restart.
    """

    def __init__(self, address: str, key: Path, clock: Clock, serials: Serials, *, seconds: float) -> None:
        self._address = address
        self._key = key
        self._clock = clock
        self._serials = serials
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
            self._held = await self._pull(http)
            on_bundle(self._held)
        except ImprimaturError as error:
            self._note(error)
        except Exception as error:  # a feed that ends would leave what is revoked in force until the bundle expires
            broken = f"The last pull broke here ({type(error).__name__}) and is tried again; see the gateway's log"
            self._note(Fault("pull-broken", broken), error)
        else:
            self.problem = None

    def _note(self, problem: ImprimaturError, defect: Exception | None = None) -> None:
        if self.problem is None or self.problem.code != problem.code:
            _log.warning("bundle.not-taken", code=problem.code, message=problem.message, exc_info=defect)
        self.problem = problem

    async def _pull(self, http: httpx.AsyncClient) -> Bundle:
        ring = self._ring or await self._trusted(http)
        document = await ask_meanwhile(http, self._address, "bundle")
        try:
            bundle = open_bundle(document, ring)
        except Tampered:  # perhaps by a key that succeeded since
            bundle = open_bundle(document, await self._trusted(http))
        bundle.require_fresh(self._clock())
        await asyncio.to_thread(self._require_later, bundle)
        return bundle

    def _require_later(self, bundle: Bundle) -> None:
        """Raise Tampered ``bundle-replayed`` for a bundle from before the last one; keep the serial of any other."""
        highest = max(self._serials.highest(), self._held.serial if self._held else 0)
        if bundle.serial < highest:
            raise Tampered(
                "bundle-replayed",
                f"The server sent bundle {bundle.serial} after bundle {highest} (expected a later one); an older "
                "bundle could bring back what was revoked since. Where the server itself was set back, as by a "
                "restored database, delete the gateway's bundle-serials.json and start it again",
            )
        self._serials.take(bundle.serial)

    async def _trusted(self, http: httpx.AsyncClient) -> KeyRing:
        """The keys that we were given, and those that signed statements lead to from them."""
        self._given = self._given or self._read_key()
        self._ring = keys_in(await ask_meanwhile(http, self._address, "keys"), self._given)
        return self._ring

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
