"""The door: every request is somebody's, or it is refused.

``LoginMiddleware`` stands outside the whole application, MLflow's included. It answers only to host names that it was
told (DNS rebinding), lets nobody in who may not read except on the open paths, and takes a cookie's word for a change
only where the browser says that our own page asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imprimatur.access.model import Action, Principal, Session
from imprimatur.access.service import Accounts
from imprimatur.core.errors import BadInput, Forbidden, ImprimaturError, Unauthenticated
from imprimatur.core.problems import problem

SESSION_COOKIE = "imprimatur_session"

current_principal: ContextVar[Principal | None] = ContextVar("current_principal", default=None)
"""Who makes the request in hand; set for the whole application, MLflow's WSGI part included."""


def caller_name() -> str:
    """What the log calls whoever makes the request in hand; ``nobody`` where that is not known."""
    caller = current_principal.get()
    return caller.name if caller else "nobody"


_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OPEN = frozenset({"/healthz", "/readyz", "/login", "/api/v1/bundle", "/api/v1/keys"})
_OPEN_FOLDER = "/static/"
_MISDIRECTED = 421
_SEE_OTHER = 303


class LoginMiddleware:
    """ASGI middleware that puts the caller in ``scope["state"]["principal"]`` and ``current_principal``.

    A browser that is logged in has its session in ``scope["state"]["session"]`` as well.
    """

    def __init__(self, app: ASGIApp, accounts: Accounts, allowed_hosts: Sequence[str]) -> None:
        self._app = app
        self._accounts = accounts
        self._allowed_hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on as its caller's, or answer it here."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        refusal = self._wrong_host(connection.headers)
        if refusal is None and not _is_open(scope):
            refusal = await self._log_in(scope, connection)
        if refusal is None:
            await self._pass_on(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        reset = current_principal.set(scope.get("state", {}).get("principal"))
        try:
            await self._app(scope, receive, send)
        finally:
            current_principal.reset(reset)

    def _wrong_host(self, headers: Headers) -> Response | None:
        named = headers.getlist("host")
        if len(named) == 1 and host_name(named[0]) in self._allowed_hosts:
            return None
        error = BadInput(
            "wrong-host",
            f"This server does not answer to {', '.join(named) or 'a request without a host'} "
            f"(expected one of {', '.join(sorted(self._allowed_hosts))}); see IMPRIMATUR_ALLOWED_HOSTS",
        )
        return problem(error, status=_MISDIRECTED)

    async def _log_in(self, scope: Scope, connection: HTTPConnection) -> Response | None:
        state = scope.setdefault("state", {})
        try:
            session = await self._session(connection)
            if session is not None and scope.get("method") not in _SAFE:
                require_same_origin(connection.headers)
            principal = session.principal if session else await self._bearer(connection)
            principal.require(Action.READ)  # applications talk to gateways, and have no business here
        except ImprimaturError as error:
            return _refusal(error, connection)
        state["session"] = session
        state["principal"] = principal
        return None

    async def _session(self, connection: HTTPConnection) -> Session | None:
        cookie = connection.cookies.get(SESSION_COOKIE)
        if cookie is None or "authorization" in connection.headers:
            return None
        return await run_in_threadpool(self._accounts.session, cookie)

    async def _bearer(self, connection: HTTPConnection) -> Principal:
        scheme, _, token = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated(
                "login-required",
                "Nobody is logged in (expected `Authorization: Bearer` with a token, or a browser session); "
                "set IMPRIMATUR_TOKEN, or open the login link that `imprimatur up` prints",
            )
        return await run_in_threadpool(self._accounts.authenticate, token.strip())


def principal_of(request: Request) -> Principal:
    """Who makes this request. Raises Unauthenticated ``login-required`` where the middleware let it in as nobody's."""
    principal = getattr(request.state, "principal", None)
    if not isinstance(principal, Principal):
        raise Unauthenticated("login-required", "Nobody is logged in (expected a token or a browser session)")
    return principal


Caller = Annotated[Principal, Depends(principal_of)]


def permitted(action: Action) -> Callable[[Principal], Principal]:
    """A dependency for routes that read: the caller, who may take ``action``, else Forbidden ``not-permitted``."""

    def require(caller: Caller) -> Principal:
        caller.require(action)
        return caller

    return require


def host_name(host: str) -> str:
    """The name in a ``Host`` header, without port and brackets, in lower case; empty where it is malformed.

    >>> host_name("LocalHost:8400"), host_name("[::1]:8400"), host_name("a@b"), host_name("localhost:x")
    ('localhost', '::1', '', '')
    """
    try:
        parts = urlsplit(f"//{host}")
        if parts.netloc != host or parts.username is not None or (parts.port or 0) < 0:
            return ""
        return (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


def require_same_origin(headers: Headers) -> None:
    """Raise Forbidden ``cross-site`` unless the browser says that a page of this very origin makes the request."""
    site = headers.get("sec-fetch-site")
    origin = urlsplit(headers.get("origin", ""))
    if site == "same-origin" or (site is None and origin.netloc and origin.netloc == headers.get("host")):
        return
    raise Forbidden(
        "cross-site",
        f"A page of another site asked for this change (got Sec-Fetch-Site {site!r}, Origin "
        f"{headers.get('origin')!r}, expected our own); repeat it on our own page",
    )


def _is_open(scope: Scope) -> bool:
    path, method = scope["path"], scope.get("method")
    if method not in _SAFE:
        return bool(path == "/login" and method == "POST")
    return path in _OPEN or (path.startswith(_OPEN_FOLDER) and ".." not in path)


def _refusal(error: ImprimaturError, connection: HTTPConnection) -> Response:
    wants_page = connection.scope.get("method") == "GET" and "text/html" in connection.headers.get("accept", "")
    if isinstance(error, Unauthenticated) and wants_page and "authorization" not in connection.headers:
        return RedirectResponse("/login", status_code=_SEE_OTHER)
    response = problem(error)
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = 'Bearer realm="imprimatur"'
    return response
