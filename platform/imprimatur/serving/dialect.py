"""The OpenAI Images API as this gateway speaks it: requests, answers and errors.

What a diffusion pipeline has no notion of is refused with a sentence, never ignored: a caller who asks for a
transparent background must not get an opaque one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imprimatur.core.errors import BadInput, ImprimaturError, Unavailable
from imprimatur.core.problems import status_of

LARGEST_SEED = 2**53 - 11
"""The largest seed that a request may name: the last image's seed is still an exact JSON number."""

_BAD_REQUEST = 400
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    409: "integrity_error",
}


class ImageRequest(BaseModel):
    """What a client asks for. ``seed``, ``steps`` and ``guidance`` are ours (``extra_body`` of the ``openai`` client).

    ``user`` and ``safety_identifier`` are accepted and not kept. Image ``i`` of a request is drawn with ``seed + i``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: str = Field(min_length=1)
    model: str = Field(min_length=1, max_length=512)
    n: int | None = Field(default=1, ge=1, le=10)
    size: str | None = Field(default="auto", pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$")
    output_format: Literal["png", "webp", "jpeg"] | None = "png"
    output_compression: int | None = Field(default=None, ge=0, le=100)
    response_format: Literal["b64_json"] | None = None
    background: Literal["auto", "opaque"] | None = None
    quality: Literal["auto"] | None = None
    moderation: Literal["auto"] | None = None
    stream: Literal[False] | None = None
    partial_images: Literal[0] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    seed: int | None = Field(default=None, ge=0, le=LARGEST_SEED)
    steps: int | None = Field(default=None, ge=1, le=200)
    guidance: float | None = Field(default=None, ge=0, le=50, allow_inf_nan=False)


_WHY = {
    "response_format": "images are only sent in the answer itself; leave response_format out or ask for 'b64_json'",
    "background": "images are opaque; leave background out or ask for 'auto' or 'opaque'",
    "quality": "quality is set by 'steps' and 'guidance' here; leave quality out or ask for 'auto'",
    "moderation": "the guardrails are the same for everybody; leave moderation out or ask for 'auto'",
    "stream": "streaming is not offered; leave stream out",
    "partial_images": "streaming is not offered, so there are no partial images; leave partial_images out",
    "style": "styles belong into the prompt; leave style out",
    "output_format": "expected 'png', 'webp' or 'jpeg'",
    "size": "expected 'auto' or WIDTHxHEIGHT",
}


def parse_request(body: bytes) -> ImageRequest:
    """The request in ``body``. Raises BadInput ``bad-request`` or ``bad-parameter``, naming the parameter."""
    try:
        document = json.loads(body, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput("bad-request", f"The request is no JSON document: {error}") from error
    try:
        request = ImageRequest.model_validate(document)
    except ValidationError as error:
        raise _bad_parameter(error) from error
    if request.output_compression not in (None, 100) and request.output_format in (None, "png"):
        raise BadInput(
            "bad-parameter",
            "output_compression: PNG loses nothing, so it has no compression to choose; ask for 'webp' or 'jpeg'",
            param="output_compression",
        )
    return request


def error_body(error: ImprimaturError) -> dict[str, Any]:
    """``error`` in OpenAI's form, with the facts it carries as ``x_facts``."""
    facts = {key: value for key, value in error.facts.items() if key not in ("param", "retry_after")}
    form: dict[str, Any] = {
        "message": error.message,
        "type": _TYPES.get(status(error), "server_error"),
        "param": error.facts.get("param"),
        "code": error.code,
    }
    return {"error": {**form, **({"x_facts": facts} if facts else {})}}


def error_answer(error: ImprimaturError, request_id: str) -> JSONResponse:
    """The HTTP answer that says ``error``, and whether asking again can help."""
    retry = isinstance(error, Unavailable)
    headers = {"x-request-id": request_id, "x-should-retry": "true" if retry else "false"}
    if retry:
        headers["Retry-After"] = str(error.facts.get("retry_after", 5))
    return JSONResponse(error_body(error), status_code=status(error), headers=headers)


def status(error: ImprimaturError) -> int:
    """The HTTP status of ``error``: as everywhere, but wrong input is 400, as OpenAI's clients expect."""
    return _BAD_REQUEST if isinstance(error, BadInput) else status_of(error)


def _bad_parameter(error: ValidationError) -> BadInput:
    first = error.errors(include_url=False)[0]
    param = str(first["loc"][0]) if first["loc"] else None
    if param is None:
        return BadInput("bad-request", "The request is no JSON object (expected one with 'model' and 'prompt')")
    found = f" (got {str(first['input'])[:80]!r})" if first["type"] not in ("missing", "extra_forbidden") else ""
    why = _WHY.get(param)
    if why is None:
        why = "there is no such parameter here" if first["type"] == "extra_forbidden" else first["msg"]
    return BadInput("bad-parameter", f"{param}: {why}{found}", param=param)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands in it twice")
    return document


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
