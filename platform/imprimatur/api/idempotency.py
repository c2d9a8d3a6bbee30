"""``Idempotency-Key``: a request that the network repeats takes effect once.

Same key and same request: the first answer again. Same key, another request: 422. First one still running: 409.
Answers of 500 and above are not kept, so that a fault can be tried again; neither are answers marked ``no-store``,
which carry a secret.
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imprimatur.api import store
from imprimatur.core.clock import Clock, utc_now
from imprimatur.core.database import Database
from imprimatur.core.digests import Digest, digest_of_bytes
from imprimatur.core.errors import ImprimaturError
from imprimatur.core.problems import problem

_KEPT_BELOW = 500


class IdempotencyMiddleware:
    """ASGI middleware, inside the login, for mutations below ``/api/v1``."""

    def __init__(self, app: ASGIApp, database: Database, clock: Clock = utc_now) -> None:
        self._app = app
        self._database = database
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a repetition from memory, and everything else through the application."""
        key = _key_of(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        principal = scope["state"]["principal"].name
        try:
            known = await run_in_threadpool(self._claim, principal, key, _digest(scope, body))
        except ImprimaturError as error:
            await problem(error)(scope, receive, send)
            return
        if known is not None:
            await Response(known.body, known.status, media_type=known.media_type)(scope, receive, send)
            return
        recorder = _Recorder(send)
        try:
            await self._app(scope, _replayed(body), recorder)
        finally:
            await run_in_threadpool(self._settle, principal, key, recorder.reply())

    def _claim(self, principal: str, key: str, request: Digest) -> store.Reply | None:
        with self._database.transaction() as session:
            return store.claim(session, principal, key, request, self._clock())

    def _settle(self, principal: str, key: str, reply: store.Reply | None) -> None:
        with self._database.transaction() as session:
            if reply is None:
                store.release(session, principal, key)
            else:
                store.answer(session, principal, key, reply)


class _Recorder:
    """Passes an answer on and remembers it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = 0
        self._media_type = ""
        self._body = bytearray()
        self._whole = False
        self._secret = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = Headers(raw=message.get("headers", []))
            self._media_type = headers.get("content-type", "")
            self._secret = "no-store" in headers.get("cache-control", "")
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            self._whole = not message.get("more_body", False)
        await self._send(message)

    def reply(self) -> store.Reply | None:
        """The answer, where it is whole and worth repeating."""
        if not self._whole or self._secret or self._status >= _KEPT_BELOW:
            return None
        return store.Reply(self._status, self._media_type, bytes(self._body))


def _key_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith("/api/v1/"):
        return None
    return Headers(scope=scope).get("idempotency-key") or None


def _digest(scope: Scope, body: bytes) -> Digest:
    return digest_of_bytes(f"{scope['method']} {scope['path']}?{scope['query_string']!r}\n".encode() + body)


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(body)


def _replayed(body: bytes) -> Receive:
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    return receive
