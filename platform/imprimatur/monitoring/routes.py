"""What is served, and how it stands, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from imprimatur.access.http import Caller
from imprimatur.access.model import Action
from imprimatur.monitoring.service import Monitor


def router(monitor: Monitor) -> APIRouter:
    """``GET /monitoring``, ``GET /monitoring/{model}``."""
    routes = APIRouter(tags=["monitoring"])

    @routes.get("/monitoring")
    def every(caller: Caller) -> Mapping[str, Any]:
        """Where every released version stands."""
        caller.require(Action.READ)
        return {"strips": [strip.document() for strip in monitor.strips()]}

    @routes.get("/monitoring/{model}")
    def one(model: str, caller: Caller, environment: str = "production") -> Mapping[str, Any]:
        """Where a model stands in an environment, and the scores of what it served."""
        caller.require(Action.READ)
        return {
            "strip": monitor.strip_of(model, environment).document(),
            "scores": [score.document() for score in monitor.scores(model)],
        }

    return routes
