"""One ASGI application: the features' routes, the pages, MLflow's own app, and the door in front of all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from imprimatur.access import routes as access
from imprimatur.access.http import LoginMiddleware
from imprimatur.api import health
from imprimatur.api.checkpoints import checkpointing
from imprimatur.api.idempotency import IdempotencyMiddleware
from imprimatur.api.sealing import sealing
from imprimatur.api.wiring import House
from imprimatur.audit import routes as audit
from imprimatur.core import problems
from imprimatur.costs import routes as costs
from imprimatur.datasets import routes as datasets
from imprimatur.evaluation import routes as evaluation
from imprimatur.monitoring import routes as monitoring
from imprimatur.policy import routes as policy
from imprimatur.registry import routes as registry
from imprimatur.registry.governed import mlflow_app
from imprimatur.release import routes as release
from imprimatur.reports import routes as reports
from imprimatur.web.pages import login_page
from imprimatur.web.rooms import Rooms
from imprimatur.web.routes import pages

API = "/api/v1"
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(house: House) -> ASGIApp:
    """The server's application over ``house``. Everything is behind the login but what ``access.http`` leaves open.

    Raises Fault ``ungoverned-registry`` where MLflow would run on a registry store that is not ours.
    """
    app = FastAPI(
        title="Imprimatur",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}/openapi.json",
        lifespan=_together(checkpointing(house), sealing(house)),
    )
    problems.install(app)
    for router in _features(house):
        app.include_router(router, prefix=API)
    app.include_router(health.router(house))
    app.include_router(access.login_router(house.accounts, login_page))
    app.include_router(pages(_rooms(house)))
    app.mount("/", mlflow_app(house.settings, house.registry))
    once = IdempotencyMiddleware(app, house.database, house.log.clock)
    return LoginMiddleware(once, house.accounts, house.settings.allowed_hosts)


def _together(*lifespans: Lifespan) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            for one in lifespans:
                await running.enter_async_context(one(app))
            yield

    return lifespan


def _features(house: House) -> Sequence[APIRouter]:
    return (
        access.router(house.accounts),
        audit.router(house.log),
        costs.router(house.ledger),
        registry.router(house.registry),
        datasets.router(house.datasets),
        evaluation.router(house.evaluations),
        policy.router(house.policies),
        release.router(house.releases),
        monitoring.router(house.monitor),
        reports.router(house.reports),
    )


def _rooms(house: House) -> Rooms:
    return Rooms(
        log=house.log,
        registry=house.registry,
        evaluations=house.evaluations,
        releases=house.releases,
        reports=house.reports,
        ledger=house.ledger,
        monitor=house.monitor,
        environments=house.settings.environments,
    )
