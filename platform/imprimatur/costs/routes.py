"""What everything cost, over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from imprimatur.access.http import permitted
from imprimatur.access.model import Action
from imprimatur.core.clock import iso
from imprimatur.costs.model import Total, Usage
from imprimatur.costs.service import Ledger


def router(ledger: Ledger) -> APIRouter:
    """Routes below ``/api/v1``."""
    routes = APIRouter(tags=["costs"], dependencies=[Depends(permitted(Action.READ))])

    @routes.get("/costs")
    def totals() -> dict[str, object]:
        """Sums by model and kind."""
        return {"currency": ledger.rates.currency, "totals": [_total(total) for total in ledger.totals()]}

    @routes.get("/costs/entries")
    def entries(model: str | None = None, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000) -> dict[str, object]:
        """The newest entries."""
        return {"entries": [_entry(usage) for usage in ledger.entries(model, limit=limit)]}

    return routes


def _total(total: Total) -> dict[str, object]:
    return {**vars(total), "kind": total.kind.value}


def _entry(usage: Usage) -> dict[str, object]:
    return {**vars(usage), "kind": usage.kind.value, "at": iso(usage.at)}
