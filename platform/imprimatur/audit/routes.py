"""The audit log over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from imprimatur.audit.model import Event
from imprimatur.audit.service import AuditLog
from imprimatur.core.clock import iso


def router(log: AuditLog) -> APIRouter:
    """Routes below ``/api/v1``, for everybody whom the login lets in."""
    routes = APIRouter(tags=["audit"])

    @routes.get("/audit/events")
    def events(
        subject: str | None = None,
        before: Annotated[int | None, Query(ge=0)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, object]:
        """Events, newest first; ``next`` is what ``before`` must be to go on, null at the end."""
        found = log.recent(subject=subject, limit=limit, before=before)
        more = found[-1].index if len(found) == limit and found[-1].index > 0 else None
        return {"events": [_document(event) for event in found], "next": more}

    @routes.get("/audit/head")
    def head() -> dict[str, object]:
        """Size and root of the log."""
        return {**vars(log.head())}

    return routes


def _document(event: Event) -> dict[str, object]:
    return {**vars(event), "at": iso(event.at), "detail": dict(event.detail)}
