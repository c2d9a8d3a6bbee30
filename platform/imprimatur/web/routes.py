"""The pages' addresses. Each gathers what its page shows and draws it."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from imprimatur.access.http import Caller, permitted
from imprimatur.access.model import Action
from imprimatur.core.errors import NotFound
from imprimatur.reports.charts import csv_of
from imprimatur.web import history, served, spending
from imprimatur.web.forms import add_forms
from imprimatur.web.inbox import inbox
from imprimatur.web.line import card
from imprimatur.web.pages import STATIC, PageRoute, page
from imprimatur.web.review import evidence_of, review_of
from imprimatur.web.rooms import Rooms
from imprimatur.web.trail import trail_of

_ASSETS = {"imprimatur.css": "text/css", "seal.svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"
_MODELS_ON_A_PAGE = 50
_VERSIONS_ON_A_PAGE = 50
_MOST_ON_A_CARD = 12
_RELEASES_ON_A_PAGE = 20
_IN_A_FILE = 1000
_IN_THE_INBOX = 200
_EVENTS_OF_A_VERSION = 30


def pages(rooms: Rooms) -> APIRouter:
    """All pages, to be mounted at the root."""
    router = APIRouter(include_in_schema=False, route_class=PageRoute)
    router.include_router(_static())
    reading = APIRouter(route_class=PageRoute, dependencies=[Depends(permitted(Action.READ))])
    _add_models(reading, rooms)
    _add_downloads(reading, rooms)
    _add_overviews(reading, rooms)
    add_forms(reading, rooms)
    router.include_router(reading)
    return router


def _static() -> APIRouter:
    router = APIRouter(route_class=PageRoute)

    @router.get("/static/{name}")
    def asset(name: str) -> Response:
        """A style sheet or a picture of our own."""
        if name not in _ASSETS:
            raise NotFound("no-such-page", f"There is no file {name!r} here")
        headers = {"Cache-Control": _FOR_EVER, "X-Content-Type-Options": "nosniff"}
        return FileResponse(STATIC / name, media_type=_ASSETS[name], headers=headers)

    return router


def _add_models(router: APIRouter, rooms: Rooms) -> None:
    @router.get("/")
    def models(request: Request, after: str = "") -> Response:
        """A page of models with their newest versions and where they stand."""
        with rooms.view():
            names = rooms.registry.models(_MODELS_ON_A_PAGE + 1, after)
            shown = names[:_MODELS_ON_A_PAGE]
            active = rooms.releases.active(shown)
            newest = rooms.newest(shown, _on_a_card(len(shown)))
        cards = [card(name, found, active) for name, found in newest.items()]
        further = shown[-1] if len(names) > len(shown) else ""
        return page(request, "models.html", cards=cards, after=after, further=further)

    @router.get("/models/{model}")
    def model(request: Request, model: str, before: int | None = None) -> Response:
        """A page of one model's versions, side by side and over time."""
        with rooms.view():
            found = rooms.briefs(model, _VERSIONS_ON_A_PAGE + 1, before)
            briefs = found[:_VERSIONS_ON_A_PAGE]
            measured = rooms.reports.scored(history.drawn(briefs))
            costs = rooms.costs_of([brief.version for brief in briefs])
            active = rooms.releases.active([model])
            past = rooms.releases.history(model, limit=_RELEASES_ON_A_PAGE + 1)
        if not found and before is None:
            raise NotFound("no-such-model", f"There is no model {model!r} with versions")
        return page(
            request,
            "model.html",
            model=model,
            briefs=briefs,
            before=before,
            further=briefs[-1].version.version if len(found) > len(briefs) else None,
            table=history.side_by_side(measured),
            quality=history.quality_charts(model, measured),
            cost=history.cost_chart(model, costs, rooms.ledger.rates.currency),
            releases=active,
            past=past[:_RELEASES_ON_A_PAGE],
            earlier=len(past) > _RELEASES_ON_A_PAGE,
        )

    @router.get("/models/{model}/versions/{version}")
    def version(
        request: Request, caller: Caller, model: str, version: int, environment: str = "", notice: str = ""
    ) -> Response:
        """Everything that a decision about one version rests on."""
        with rooms.view():
            dossier = rooms.reports.dossier(model, version, environment or None)
            events = rooms.log.recent(subject=dossier.version.label, limit=_EVENTS_OF_A_VERSION)
            current = rooms.releases.current(model, dossier.environment)
        return page(
            request,
            "version.html",
            review=review_of(dossier, caller, events, notice),
            expected=current.id if current else "none",
            environments=rooms.environments,
        )


def _on_a_card(models: int) -> int:
    """How many of their newest versions some models show: fewer where there are many, as on a page of one model's.

    >>> _on_a_card(1), _on_a_card(10), _on_a_card(50)
    (12, 5, 1)
    """
    return min(max(_VERSIONS_ON_A_PAGE // max(models, 1), 1), _MOST_ON_A_CARD)


def _add_downloads(router: APIRouter, rooms: Rooms) -> None:
    @router.get("/models/{model}/quality.csv")
    def quality(model: str) -> Response:
        """Every score of every version."""
        measured = rooms.reports.scored(rooms.briefs(model, _IN_A_FILE))
        return _csv(f"{model}-quality", history.QUALITY_COLUMNS, history.quality_rows(measured))

    @router.get("/models/{model}/costs.csv")
    def model_costs(model: str) -> Response:
        """What each version cost."""
        currency = rooms.ledger.rates.currency
        rows = [
            (f"v{version}", kind.value, f"{amount:.6f}", currency)
            for version, kinds in rooms.costs(model, _IN_A_FILE).items()
            for kind, amount in kinds.items()
        ]
        return _csv(f"{model}-costs", ("version", "kind", "amount", "currency"), rows)

    @router.get("/models/{model}/releases.csv")
    def releases(model: str) -> Response:
        """Everything that ever stood anywhere."""
        return _csv(f"{model}-releases", history.RELEASE_COLUMNS, history.release_rows(rooms.releases.history(model)))

    @router.get("/models/{model}/served.csv")
    def served_scores(model: str) -> Response:
        """Scores of what was served."""
        return _csv(f"{model}-served", served.SERVED_COLUMNS, served.served_rows(rooms.monitor.scores(model)))

    @router.get("/models/{model}/versions/{version}/{name}.csv")
    def evidence(model: str, version: int, name: str) -> Response:
        """The data of a chart on a version's page."""
        found = evidence_of(rooms.reports.dossier(model, version))
        charts = {"look-alikes": [found.histogram] if found.histogram else [], "balance": list(found.balances)}
        chosen = charts.get(name)
        if not chosen:
            raise NotFound("no-such-page", f"Version {model}/{version} has no chart {name!r}")
        return _csv(f"{model}-{version}-{name}", chosen[0].columns, [row for chart in chosen for row in chart.rows])

    @router.get("/costs.csv")
    def costs() -> Response:
        """The ledger's sums."""
        return _csv("costs", spending.COST_COLUMNS, spending.cost_rows(rooms.ledger.totals()))


def _add_overviews(router: APIRouter, rooms: Rooms) -> None:
    @router.get("/inbox")
    def waiting(request: Request, caller: Caller) -> Response:
        """Decisions that wait for an answer."""
        return page(request, "inbox.html", waiting=inbox(caller, rooms.allowed(_IN_THE_INBOX), rooms.log.clock()))

    @router.get("/quality")
    def quality(request: Request) -> Response:
        """How what is served stands against what was promised."""
        strips = rooms.monitor.strips()
        panels = [served.panel(strip, rooms.monitor.scores(strip.model)) for strip in strips]
        return page(request, "quality.html", panels=panels)

    @router.get("/costs")
    def costs(request: Request) -> Response:
        """What everything cost."""
        return page(request, "costs.html", costs=spending.costs_of(rooms.ledger.totals()), rates=rooms.ledger.rates)

    @router.get("/audit")
    def audit(request: Request, subject: str = "") -> Response:
        """What happened last."""
        return page(request, "audit.html", trail=trail_of(rooms.log, subject=subject or None), subject=subject)


def _csv(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"', "Cache-Control": "no-store"}
    return Response(csv_of(columns, rows), media_type="text/csv; charset=utf-8", headers=headers)
