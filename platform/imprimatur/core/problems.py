"""RFC 9457 problem details: the one table that maps our errors to HTTP statuses."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from imprimatur.core.errors import (
    BadInput,
    Conflict,
    Forbidden,
    ImprimaturError,
    NotFound,
    Refused,
    Tampered,
    Unauthenticated,
    Unavailable,
)

STATUSES: dict[type[ImprimaturError], int] = {
    BadInput: 422,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Tampered: 409,
    Refused: 403,
    Unavailable: 503,
    ImprimaturError: 500,
}


class _Problem(JSONResponse):
    """A problem document. Half a character, which UTF-8 has no bytes for, goes out as JSON's escape for it."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def status_of(error: ImprimaturError) -> int:
    """The HTTP status of the nearest class in ``STATUSES``."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(error: ImprimaturError, *, status: int | None = None) -> JSONResponse:
    """``error`` as ``application/problem+json`` with ``code``, ``detail`` and the facts it carries.

    ``status`` is that of the error's class unless HTTP has a word of its own for it.
    """
    status = status_of(error) if status is None else status
    body = {
        "type": f"urn:imprimatur:error:{error.code}",
        "title": error.code.replace("-", " ").capitalize(),
        "status": status,
        "code": error.code,
        "detail": error.message,
        **({"facts": error.facts} if error.facts else {}),
    }
    return _Problem(body, status_code=status)


def install(app: FastAPI) -> None:
    """Make ``app`` answer our errors, and requests that don't parse, as problem details."""

    @app.exception_handler(ImprimaturError)
    def _ours(_request: Request, error: ImprimaturError) -> JSONResponse:
        return problem(error)

    @app.exception_handler(RequestValidationError)
    def _unparsed(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return problem(BadInput("bad-request", f"The request does not have the expected form: {found}"))
