"""What the forms of a review page do. Each calls the room that knows the rules, and goes back to the page."""

from __future__ import annotations

from secrets import compare_digest
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from imprimatur.access.http import Caller
from imprimatur.access.model import Session
from imprimatur.core.errors import BadInput, Forbidden, NotFound
from imprimatur.release.model import Answer
from imprimatur.web.rooms import Rooms

_SEE_OTHER = 303
_Text = Annotated[str, Form(max_length=4000)]


def add_forms(router: APIRouter, rooms: Rooms) -> None:
    """The routes that take answers, promotions and requests for a decision."""

    @router.post("/models/{model}/versions/{version}/answer")
    def answer(
        request: Request,
        caller: Caller,
        model: str,
        version: int,
        decision: _Text = "",
        answer: _Text = "",
        reason: _Text = "",
        conditions: _Text = "",
        looked: _Text = "",
        csrf: _Text = "",
    ) -> Response:
        """Approve or reject a decision."""
        _require_own_page(request, csrf)
        given = _parsed(answer)
        found = rooms.releases.decision(decision)
        if (found.model, found.version) != (model, version):
            raise NotFound("no-such-decision", f"Decision {decision!r} is not about {model}/{version}")
        if given is Answer.APPROVE and not looked:
            raise BadInput("images-not-looked-at", "The box “I looked at the images” is not ticked; look, then tick it")
        rooms.releases.answer(caller, decision, given, reason.strip(), conditions.strip())
        return _back(model, version, given.value)

    @router.post("/models/{model}/versions/{version}/decision")
    def decide(
        request: Request, caller: Caller, model: str, version: int, environment: _Text = "", csrf: _Text = ""
    ) -> Response:
        """Ask the policy."""
        _require_own_page(request, csrf)
        rooms.releases.decide(caller, model, version, environment)
        return _back(model, version, "decided")

    @router.post("/models/{model}/versions/{version}/promotion")
    def promote(
        request: Request,
        caller: Caller,
        model: str,
        version: int,
        environment: _Text = "",
        expected: _Text = "",
        csrf: _Text = "",
    ) -> Response:
        """Release the version where its decision allows it, in place of what the page showed there."""
        _require_own_page(request, csrf)
        rooms.releases.promote(caller, model, version, environment, expected=expected or None)
        return _back(model, version, "promoted")


def _require_own_page(request: Request, csrf: str) -> None:
    """Raise Forbidden ``bad-csrf`` where a browser sends a form that no page of its session held."""
    session = getattr(request.state, "session", None)
    if isinstance(session, Session) and not compare_digest(session.csrf.encode(), csrf.encode()):
        raise Forbidden("bad-csrf", "This form does not come from a page of your session; open the page again")


def _parsed(answer: str) -> Answer:
    try:
        return Answer(answer)
    except ValueError as error:
        raise BadInput("bad-answer", f"{answer!r} is no answer (expected one of {', '.join(Answer)})") from error


def _back(model: str, version: int, notice: str) -> Response:
    place = f"/models/{quote(model, safe='')}/versions/{version}?notice={notice}"
    return RedirectResponse(place, status_code=_SEE_OTHER)
