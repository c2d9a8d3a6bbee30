"""How a page is made: one Jinja environment, one set of headers, and errors as pages that people can read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment
from markupsafe import Markup

from imprimatur import __version__
from imprimatur.access.model import Principal, Session
from imprimatur.core.clock import utc_now
from imprimatur.core.errors import ImprimaturError, NotFound
from imprimatur.core.problems import status_of
from imprimatur.reports import typesetting
from imprimatur.reports.charts import Chart
from imprimatur.reports.words import ago
from imprimatur.web.line import STAGES, steps_done, waiting_for
from imprimatur.web.security import HEADERS, IN_PAGE
from imprimatur.web.trail import is_refusal, told

_ROOM = Path(__file__).parent
STATIC = _ROOM / "static"
_REMEMBERED = 512

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
    """The template as a page for whoever asks."""
    session = getattr(request.state, "session", None)
    text = _render(
        template,
        caller=getattr(request.state, "principal", None),
        csrf=session.csrf if isinstance(session, Session) else "",
        path=request.url.path,
        **context,
    )
    return HTMLResponse(text, status_code=status, headers=dict(HEADERS))


def error_page(request: Request, error: ImprimaturError) -> HTMLResponse:
    """What went wrong, in words, with its stable code."""
    return page(request, "error.html", status=status_of(error), error=error, back=_back(request))


def login_page(token: str, message: str) -> str:
    """HTML of the login form, with a token to begin with and a message (both may be empty)."""
    return _render("login.html", caller=None, csrf="", path="/login", token=token, message=message, policy=IN_PAGE)


class PageRoute(APIRoute):
    """A route whose errors are pages too."""

    def get_route_handler(self) -> _Handler:
        """The handler, with our errors turned into pages."""
        handle = super().get_route_handler()

        async def handle_as_page(request: Request) -> Response:
            try:
                return await handle(request)
            except ImprimaturError as error:
                return error_page(request, error)
            except RequestValidationError:
                wrong = NotFound("no-such-page", f"There is no page {request.url.path} with what was sent to it")
                return error_page(request, wrong)

        return handle_as_page


@lru_cache(maxsize=_REMEMBERED)
def figure(chart: Chart, level: int = 3) -> Markup:
    """The chart with its question as a heading and its numbers as a table; what was shown before is not set again."""
    return Markup(_environment().get_template("figure.html").render(chart=chart, level=level))  # noqa: S704 -- escaped


@cache
def _environment() -> Environment:
    made = typesetting.environment(_ROOM / "templates")
    made.filters.update(told=told, ago=lambda at: ago(at, utc_now()))
    made.tests["refusal"] = is_refusal
    made.globals.update(
        STAGES=STAGES,
        steps_done=steps_done,
        waiting_for=waiting_for,
        build=__version__,
        figure=figure,
        stamp=_stamp("imprimatur.css"),
    )
    return made


def _render(template: str, *, caller: Principal | None, **context: Any) -> str:
    return _environment().get_template(template).render(caller=caller, **context)


def _stamp(name: str) -> str:
    """A word that changes with the file, so that browsers may keep each version of it for ever."""
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def _back(request: Request) -> str:
    """Where to go from an error: the version's page after a form of it, else the models."""
    model, version = request.path_params.get("model"), request.path_params.get("version")
    return f"/models/{model}/versions/{version}" if request.method == "POST" and model and version else "/"
