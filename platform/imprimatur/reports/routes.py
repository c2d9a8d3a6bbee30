"""The report of a version over HTTP."""

from __future__ import annotations

import json
from enum import StrEnum

from fastapi import APIRouter
from fastapi.responses import Response

from imprimatur.access.http import Caller
from imprimatur.reports.service import Reports


class Format(StrEnum):
    """The forms that a report comes in."""

    JSON = "json"
    MARKDOWN = "md"
    HTML = "html"


_HTML_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"


def router(reports: Reports) -> APIRouter:
    """``GET /models/{model}/versions/{version}/report?format=json|md|html``."""
    routes = APIRouter(tags=["reports"])

    @routes.get("/models/{model}/versions/{version}/report")
    def report(caller: Caller, model: str, version: int, format: Format = Format.JSON) -> Response:  # noqa: A002 -- the query's name
        """The report of one version."""
        if format is Format.HTML:
            headers = {"Content-Security-Policy": _HTML_POLICY}
            return Response(reports.html(caller, model, version), media_type="text/html", headers=headers)
        if format is Format.MARKDOWN:
            return Response(reports.markdown(caller, model, version), media_type="text/markdown")
        text = json.dumps(reports.document(caller, model, version), indent=2, ensure_ascii=False)
        return Response(text, media_type="application/json")

    return routes
