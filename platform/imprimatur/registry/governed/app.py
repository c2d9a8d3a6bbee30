"""MLflow's tracking, registry, artifact proxy and UI as one ASGI app inside ours."""

from __future__ import annotations

from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imprimatur.access.http import caller_name, current_principal
from imprimatur.access.model import Action, Principal
from imprimatur.core.errors import BadInput, Fault, ImprimaturError, NotFound, Refused, Unauthenticated
from imprimatur.core.problems import problem
from imprimatur.core.settings import Settings
from imprimatur.registry import environment
from imprimatur.registry.governed import graphql, sealed
from imprimatur.registry.governed.paths import UI_PREFIX, inner_path, is_file
from imprimatur.registry.service import Registry

_Store = TypeVar("_Store")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_TEMPORARY_REDIRECT = 307
_FILE_POLICY = "sandbox; default-src 'none'"
_UI_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "frame-src 'self' blob: data:; connect-src 'self' blob: data:; frame-ancestors 'self'"
)


def mlflow_app(settings: Settings, registry: Registry) -> ASGIApp:
    """MLflow's app on our database and artifact folder, governed; to be mounted at the root behind the login.

    It answers MLflow's REST under its usual paths and the UI below ``/mlflow/``; everything else is a 404 problem. One
    process serves one home: MLflow keeps its stores in module variables, and the last call wins. Raises Fault
    ``ungoverned-registry`` where the stores in use are not ours, ``foreign-places`` where the database sends clients
    to other hosts.
    """
    environment.configure_server(settings)
    settings.artifacts.mkdir(parents=True, exist_ok=True)
    # MLflow's server reads the environment when it is imported, so it is imported now
    from mlflow.server import handlers
    from mlflow.server.fastapi_app import create_fastapi_app

    from imprimatur.registry.governed.store import GovernedStore
    from imprimatur.registry.governed.tracking import GovernedTracking

    def registry_store(store_uri: str) -> GovernedStore:
        return GovernedStore(settings.database, registry, settings.environments)

    def tracking_store(store_uri: str, artifact_uri: str) -> GovernedTracking:
        return GovernedTracking(store_uri, artifact_uri, registry.log)

    handlers._tracking_store_registry = handlers.TrackingStoreRegistryWrapper()  # the old one remembers its stores
    for scheme in ("sqlite", "postgresql"):
        handlers._tracking_store_registry.register(scheme, tracking_store)
    handlers._model_registry_store_registry = handlers.ModelRegistryStoreRegistryWrapper()
    handlers._model_registry_store_registry.register(environment.REGISTRY_SCHEME, registry_store)
    for name in ("_tracking_store", "_model_registry_store", "_artifact_repo"):
        setattr(handlers, name, None)
    handlers.initialize_backend_stores()
    _require(handlers._get_model_registry_store(), GovernedStore)
    _require(handlers._get_tracking_store(), GovernedTracking).require_own_places()
    return AllowList(create_fastapi_app(), registry)


class AllowList:
    """ASGI: passes on what is on the list to those who may track; answers 404 for the rest."""

    def __init__(self, app: ASGIApp, registry: Registry) -> None:
        self._app = app
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["path"] == UI_PREFIX:
            await RedirectResponse(f"{UI_PREFIX}/", status_code=_TEMPORARY_REDIRECT)(scope, receive, send)
            return
        try:
            inner = _admit(scope)
            if scope["method"] not in _SAFE:
                await run_in_threadpool(self._permit_change, inner)
            place = await run_in_threadpool(self._place, inner, scope["query_string"])
            if place is not None:
                found = await run_in_threadpool(self._sealed, str(scope["method"]), place, inner)
                await found(scope, receive, _guarded(send, inner))
                return
            if inner == graphql.PATH:
                receive = await _read_query(receive)
        except ImprimaturError as error:
            await problem(error)(scope, receive, send)
            return
        passed = {**scope, "path": inner, "raw_path": inner.encode(), "root_path": ""}
        await self._app(passed, receive, _guarded(send, inner))

    def _permit_change(self, inner: str) -> None:
        """Raise Forbidden where the caller may make no such change; the refusal is an event.

        Who may not register a version may not write its bytes either, so no reviewer approves bytes of their own.
        """
        caller = _caller()
        writes = sealed.is_artifact(inner)
        with self._registry.log.attempt(caller.name, "artifact.write" if writes else "mlflow.change", inner[:200]):
            caller.require(Action.REGISTER if writes else Action.TRACK)

    def _place(self, inner: str, query: bytes) -> str | None:
        """The place below ``sealed`` that a request names, by itself or by a sealed version; None where by neither."""
        asked = sealed.asked_version(inner, query)
        if asked is None:
            return sealed.asked_place(inner, query)
        digest = self._registry.version(asked.model, asked.version).manifest_digest
        return f"{sealed.place_of(digest)}/{asked.path}" if digest else None

    def _sealed(self, method: str, place: str, inner: str) -> Response:
        """What the sealed store says; a refusal is an event."""
        lists = sealed.asks_for_list(inner)
        try:
            return sealed.answer(self._registry.sealed, method, place, lists=lists)
        except Refused as error:
            if error.code == "sealed-bytes":
                self._registry.log.refusal(caller_name(), "sealed.write", place[:200], error)
            raise


def _admit(scope: Scope) -> str:
    path = str(scope["path"])
    inner = inner_path(path, scope.get("raw_path") or path.encode())
    if inner is None:
        raise NotFound("no-such-page", f"There is nothing at {path[:200]!r} (MLflow is below {UI_PREFIX}/)")
    _caller().require(Action.READ)
    return inner


def _caller() -> Principal:
    caller = current_principal.get()
    if caller is None:
        raise Unauthenticated("login-required", "Nobody is logged in (expected a token or a browser session)")
    return caller


async def _read_query(receive: Receive) -> Receive:
    """The request again, once its body is found to be a GraphQL query."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request" or len(body) > graphql.LARGEST:
            raise BadInput("bad-query", f"The query was cut short or is too long (expected {graphql.LARGEST} bytes)")
        body += message.get("body", b"")
        more = message.get("more_body", False)
    graphql.check_query(body)
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return unread.pop() if unread else await receive()

    return again


def _guarded(send: Send, inner: str) -> Send:
    """Keep browsers from running what somebody logged as a page of ours, and MLflow's UI from calling elsewhere."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["X-Frame-Options"] = "SAMEORIGIN"
            headers["Content-Security-Policy"] = _FILE_POLICY if is_file(inner) else _UI_POLICY
        await send(message)

    return guarded


def _require(found: Any, expected: type[_Store]) -> _Store:
    if type(found) is not expected:
        raise Fault(
            "ungoverned-registry",
            f"MLflow uses {type(found).__module__}.{type(found).__name__} (expected {expected.__name__}); "
            "the server does not start without its law",
        )
    store: _Store = found
    return store
