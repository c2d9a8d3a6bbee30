"""Whether the server lives, whether it may work, and what it counts."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from imprimatur.api import schema
from imprimatur.api.wiring import House

_UNAVAILABLE = 503


def router(house: House) -> APIRouter:
    """``/healthz`` and ``/readyz`` for anybody, ``/metrics`` for those who are logged in."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/healthz")
    def healthz() -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    @routes.get("/readyz")
    def readyz() -> Response:
        """Schema and triggers are what they should be; else 503 with what is missing."""
        missing = schema.check(house.settings.database, house.settings.environments)
        return JSONResponse({"ready": not missing, "missing": missing}, _UNAVAILABLE if missing else 200)

    @routes.get("/metrics")
    def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes
