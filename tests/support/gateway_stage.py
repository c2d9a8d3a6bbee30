"""A gateway behind a real port, with everything around it that a test wants to move."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai

from imprimatur.core.settings import Settings
from imprimatur.core.signing import SigningKey
from imprimatur.serving.gateway import build_gateway
from signed_bundles import BundleServer, Hands, bundle_document, release_entry, serving, wait_until

TOKEN = "imp_test_key"  # noqa: S105  known here only


@dataclass(frozen=True)
class Sealed:
    """A store with two pipelines in it."""

    root: Path
    first: str
    second: str


class Stage:
    """Everything around one gateway, with handles to move it."""

    def __init__(self, settings: Settings, sealed: Sealed, clock: Hands, stack: ExitStack) -> None:
        self.clock = clock
        self.sealed = sealed
        self.key = SigningKey.load_or_create(settings.keys / "decision.pem")
        self.server = BundleServer()
        self._stack = stack
        self._serial = 0
        address = stack.enter_context(serving(self.server.app()))
        self.settings = settings.model_copy(update={"server": address, "bundle_seconds": 0.05, "device": "cpu"})
        self.release(release_entry(self.key, sealed.first))
        self.address = ""

    def release(self, *entries: dict[str, Any], **options: Any) -> None:
        """Put a bundle with these releases in place, newer than the last."""
        self._serial += 1
        options = {"serial": self._serial, "tokens": {TOKEN: "webshop"}, **options}
        self.server.document = bundle_document(self.key, list(entries), now=self.clock.now, **options)

    def start(self, **changes: Any) -> openai.OpenAI:
        """Start the gateway; a client of it that never asks twice."""
        self.settings = self.settings.model_copy(update=changes)
        self.address = self._stack.enter_context(serving(build_gateway(self.settings, self.clock)))
        wait_until(lambda: self.server.pulls >= 2)
        return self.client()

    def client(self, token: str = TOKEN) -> openai.OpenAI:
        """The real client of an application."""
        client = openai.OpenAI(base_url=f"{self.address}/v1", api_key=token, max_retries=0)
        self._stack.callback(client.close)
        return client
