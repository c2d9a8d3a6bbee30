"""The gateway as one ASGI application, put together from its settings. It opens no database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from imprimatur.core.clock import Clock, utc_now
from imprimatur.core.errors import BadInput, Fault, ImprimaturError, NotFound
from imprimatur.core.settings import Settings
from imprimatur.core.signing import SigningKey
from imprimatur.serving.dialect import error_answer
from imprimatur.serving.feed import Feed
from imprimatur.serving.metrics import Metrics
from imprimatur.serving.model import Bundle, Released
from imprimatur.serving.routes import request_id, router
from imprimatur.serving.serials import Serials
from imprimatur.serving.service import Gateway
from imprimatur.serving.shelf import Shelf
from imprimatur.serving.spool import Spool
from imprimatur.storage.service import SealedStore

_NOT_FOUND = 404
_log = structlog.get_logger("imprimatur.gateway")


def build_gateway(settings: Settings, clock: Clock = utc_now) -> FastAPI:
    """The gateway. While it runs it pulls release bundles and loads what they release, before anybody asks."""
    server = (settings.server or f"http://{settings.host}:{settings.port}").rstrip("/")
    serials = Serials(settings.bundle_serials, server)
    feed = Feed(server, settings.decision_public, clock, serials, seconds=settings.bundle_seconds)
    shelf = Shelf(SealedStore(settings.sealed, objects=settings.sealed_objects), settings)
    spool = Spool(settings.served, clock, share=settings.spool_share, per_minute=settings.spool_per_minute)
    key = SigningKey.load_or_create(settings.keys / "image.pem")
    metrics = Metrics(lambda: float(shelf.loaded), feed.age)
    gateway = Gateway(feed, shelf, spool, key, metrics, settings, clock)
    app = FastAPI(title="Imprimatur gateway", openapi_url=None, lifespan=_Running(feed, shelf).lifespan)
    app.include_router(router(gateway))
    _speak_openai(app)
    return app


class _Running:
    """What goes on in the background while the gateway is up."""

    def __init__(self, feed: Feed, shelf: Shelf) -> None:
        self._feed = feed
        self._shelf = shelf
        self._preloading: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Pull bundles until the application stops, then let the images in hand be drawn."""
        pulling = asyncio.create_task(self._feed.run(self._take))
        try:
            yield
        finally:
            pulling.cancel()
            with suppress(asyncio.CancelledError):
                await pulling
            await self._shelf.close()

    def _take(self, bundle: Bundle) -> None:
        self._shelf.keep(bundle.digests())
        for release in bundle.released:
            task = asyncio.create_task(self._preload(release))
            self._preloading.add(task)
            task.add_done_callback(self._preloading.discard)

    async def _preload(self, release: Released) -> None:
        with suppress(ImprimaturError):  # logged by the shelf, and told to whoever asks for the model
            await self._shelf.model(release)


def _speak_openai(app: FastAPI) -> None:
    """Make every error of ``app`` an answer in OpenAI's form."""

    @app.exception_handler(ImprimaturError)
    def _ours(request: Request, error: ImprimaturError) -> JSONResponse:
        return error_answer(error, request_id(request))

    @app.exception_handler(HTTPException)
    def _routing(request: Request, error: HTTPException) -> JSONResponse:
        kind = NotFound if error.status_code == _NOT_FOUND else BadInput
        path = request.url.path
        return error_answer(
            kind("no-such-path", f"{request.method} {path}: {error.detail} (expected /v1/images/generations)"),
            request_id(request),
        )

    @app.exception_handler(Exception)
    def _unforeseen(request: Request, error: Exception) -> JSONResponse:
        _log.error("request.failed", request=request_id(request), error=type(error).__name__, exc_info=error)
        return error_answer(
            Fault("internal-error", "Something broke here; the gateway's log has this request's id"),
            request_id(request),
        )
