"""The gateway over HTTP: OpenAI's Images API, its list of models, and what operators look at."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect

from imprimatur.core.digests import new_id
from imprimatur.core.errors import BadInput, ImprimaturError
from imprimatur.serving.dialect import error_answer, parse_request
from imprimatur.serving.model import Released
from imprimatur.serving.service import Delivery, Gateway, origin_document

_LARGEST_BODY = 256 * 1024
_log = structlog.get_logger("imprimatur.gateway")


def router(gateway: Gateway) -> APIRouter:
    """The gateway's routes."""
    routes = APIRouter()

    @routes.post("/v1/images/generations")
    async def generate(request: Request) -> Response:
        return await _Exchange(gateway, request).answer()

    @routes.get("/v1/models")
    def models(request: Request) -> dict[str, Any]:
        gateway.client(request.headers.get("authorization"))
        return {"object": "list", "data": [model_entry(release) for release in gateway.released()]}

    @routes.get("/v1/models/{name:path}")
    def model(name: str, request: Request) -> dict[str, Any]:
        gateway.client(request.headers.get("authorization"))
        return model_entry(gateway.release(name))

    @routes.get("/v1/keys")
    def keys() -> dict[str, Any]:
        return {"keys": [gateway.image_key]}

    @routes.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @routes.get("/readyz")
    def readyz() -> dict[str, Any]:
        bundle = gateway.feed.current()
        problem = gateway.feed.problem
        return {
            "status": "ready",
            "bundle": bundle.serial,
            "expires_at": bundle.expires_at.isoformat(),
            "released": len(bundle.released),
            "withheld": [{"model": f"{w.model}/{w.version}", "code": w.error.code} for w in bundle.withheld],
            "loaded": gateway.shelf.loaded,
            "last_pull": problem.message if problem else "taken",
        }

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(gateway.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return routes


def model_entry(release: Released) -> dict[str, Any]:
    """A release in OpenAI's form of a model."""
    return {
        "id": release.name,
        "object": "model",
        "created": int(release.decided_at.timestamp()),
        "owned_by": "imprimatur",
        "x_imprimatur": {
            "model": release.model,
            "version": release.version,
            "environment": release.environment,
            "manifest_digest": release.manifest_digest,
            "decision_id": release.decision_id,
        },
    }


def delivery_body(delivery: Delivery, created: int) -> Mapping[str, Any]:
    """The images in OpenAI's form; what is ours stands under ``x_imprimatur``."""
    origin = origin_document(delivery.release, delivery.sampling)
    return {
        "created": created,
        "background": "opaque",
        "output_format": delivery.form,
        "size": str(delivery.size),
        "data": [
            {
                "b64_json": base64.b64encode(image.signed.data).decode(),
                "x_imprimatur": {
                    "id": image.id,
                    "seed": image.seed,
                    "image_digest": image.signed.digest,
                    "signature": image.signed.signature,
                },
            }
            for image in delivery.images
        ],
        "x_imprimatur": {**origin, "seed": delivery.images[0].seed, "prompt_cut": delivery.prompt_cut},
    }


class _Exchange:
    """One image request from its first byte to the answer, counted whatever comes of it."""

    def __init__(self, gateway: Gateway, request: Request) -> None:
        self._gateway = gateway
        self._request = request
        self._id = request_id(request)
        self._label = "unknown"
        self._client: str | None = None
        self._code: str | None = None
        self._begun = time.perf_counter()

    async def answer(self) -> Response:
        try:
            response: Response = JSONResponse(await self._deliver(), headers={"x-request-id": self._id})
        except ImprimaturError as error:
            self._code = error.code
            response = error_answer(error, self._id)
        self._note(response.status_code)
        return response

    async def _deliver(self) -> Mapping[str, Any]:
        client = self._gateway.client(self._request.headers.get("authorization"))
        self._client = client.name
        wanted = parse_request(await _body(self._request))
        self._label = self._gateway.label(wanted.model)
        delivery = await self._gateway.generate(client, wanted)
        return delivery_body(delivery, int(time.time()))

    def _note(self, status: int) -> None:
        seconds = time.perf_counter() - self._begun
        self._gateway.metrics.answered(self._label, status, seconds)
        _log.info(
            "images.answered",
            request=self._id,
            client=self._client,
            model=self._label,
            status=status,
            code=self._code,
            seconds=round(seconds, 4),
        )


def request_id(request: Request) -> str:
    """The id that this request's answer and log line carry."""
    if not hasattr(request.state, "id"):
        request.state.id = new_id("req")
    return str(request.state.id)


async def _body(request: Request) -> bytes:
    """The request's body. Raises BadInput ``body-too-large`` as soon as it is."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST_BODY:
                raise BadInput(
                    "body-too-large", f"The request has more than {_LARGEST_BODY // 1024} KiB (expected a prompt)"
                )
    except ClientDisconnect as error:
        raise BadInput("disconnected", "The client went away before its request was complete") from error
    return bytes(body)
