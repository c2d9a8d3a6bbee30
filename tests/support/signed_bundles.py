"""Release bundles as a server signs them, and a small real server that hands them out."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import uvicorn
from fastapi import FastAPI, Response

from imprimatur.core.clock import iso
from imprimatur.core.digests import digest_of_bytes
from imprimatur.core.signing import SigningKey

BUNDLE_TYPE = "application/vnd.imprimatur.bundle+json"
DECISION_TYPE = "application/vnd.imprimatur.decision+json"


def decision_document(digest: str, **changes: Any) -> dict[str, Any]:
    """The payload of a decision that allows ``digest`` as digits/1 in production."""
    return {
        "id": "dec-1",
        "model": "digits",
        "version": 1,
        "manifest_digest": digest,
        "environment": "production",
        "verdict": "allow",
        "submitted_by": "ana",
        "registered_by": "ana",
        "required_approvals": [{"role": "reviewer", "count": 1}],
        "facts": {},
        "decided_at": iso(datetime.fromisoformat("2026-11-01T09:00:00+00:00")),
        **changes,
    }


def approval(decision_id: str = "dec-1", person: str = "ben", answer: str = "approve") -> dict[str, Any]:
    """One reviewer's answer."""
    return {
        "id": f"app-{person}",
        "decision_id": decision_id,
        "role": "reviewer",
        "person": person,
        "answer": answer,
        "reason": "I looked at the images",
        "conditions": "",
        "at": iso(datetime.fromisoformat("2026-11-02T09:00:00+00:00")),
    }


def release_entry(key: SigningKey, digest: str, **changes: Any) -> dict[str, Any]:
    """A release of a bundle, with its signed decision and one approval."""
    decision = decision_document(digest, **changes)
    return {
        "model": decision["model"],
        "version": decision["version"],
        "environment": decision["environment"],
        "manifest_digest": digest,
        "decision": key.sign(DECISION_TYPE, decision).document(),
        "approvals": [approval(decision["id"])],
    }


def bundle_document(
    key: SigningKey,
    releases: list[dict[str, Any]],
    *,
    now: datetime,
    serial: int = 1,
    revoked: tuple[str, ...] = (),
    tokens: Mapping[str, str] | None = None,
    minutes: float = 60,
) -> dict[str, Any]:
    """A signed bundle. ``tokens`` maps an API key to the name of its client."""
    payload = {
        "serial": serial,
        "issued_at": iso(now),
        "expires_at": iso(now + timedelta(minutes=minutes)),
        "releases": releases,
        "revoked": list(revoked),
        "clients": [
            {"hash": digest_of_bytes(token.encode()), "name": name, "team": "shop"}
            for token, name in (tokens or {}).items()
        ],
    }
    return key.sign(BUNDLE_TYPE, payload).document()


@dataclass
class Hands:
    """A clock whose hands a test can move."""

    now: datetime

    def __call__(self) -> datetime:
        """The time that the hands show."""
        return self.now

    def forward(self, **span: float) -> None:
        """Move the hands on."""
        self.now += timedelta(**span)


@dataclass
class BundleServer:
    """What stands in the server's place: it answers with whatever document, or bytes before it, a test put there."""

    document: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    successions: list[Any] = field(default_factory=list)
    pulls: int = 0
    away: bool = False

    def app(self) -> FastAPI:
        """The two routes of the server that are open to gateways."""
        app = FastAPI()

        @app.get("/api/v1/keys")
        def keys() -> dict[str, Any]:
            if self.away:
                raise RuntimeError("away")
            return {"successions": self.successions}

        @app.get("/api/v1/bundle", response_model=None)
        def bundle() -> dict[str, Any] | Response:
            self.pulls += 1
            if self.away:
                raise RuntimeError("away")
            return self.document if self.raw is None else Response(self.raw)

        return app

    def wait_for_pull(self) -> None:
        """Return after the next two pulls: the first of them was answered with the present document, and was used."""
        seen = self.pulls
        wait_until(lambda: self.pulls >= seen + 2)


def wait_until(fact: Any, seconds: float = 30.0) -> None:
    """Return once ``fact()`` is true; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """``app`` behind a real uvicorn on a free port; yields its address and stops it in the end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="none", timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
