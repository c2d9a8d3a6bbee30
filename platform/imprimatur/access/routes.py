"""Login and logout at the root, principals and tokens under the API."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict

from imprimatur.access.http import SESSION_COOKIE, Caller, require_same_origin
from imprimatur.access.model import Principal, Role, Session
from imprimatur.access.service import Accounts
from imprimatur.core.errors import Unauthenticated

_CREATED = 201
_SEE_OTHER = 303
_UNAUTHORIZED = 401

LoginPage = Callable[[str, str], str]
"""HTML of the login form: for a token to begin with and a message (both empty at first)."""


class NewPrincipal(BaseModel):
    """Somebody to add."""

    model_config = ConfigDict(extra="forbid")

    name: str
    roles: list[Role]
    team: str


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid", strict=True)

    label: str
    days: int = 90


def router(accounts: Accounts) -> APIRouter:
    """Routes below ``/api/v1``."""
    routes = APIRouter(tags=["access"])

    @routes.get("/me")
    def me(caller: Caller) -> dict[str, object]:
        """Who I am, with which roles."""
        return _document(caller)

    @routes.get("/principals")
    def principals(caller: Caller) -> dict[str, object]:
        """Everybody."""
        return {"principals": [_document(principal) for principal in accounts.principals(caller)]}

    @routes.post("/principals", status_code=_CREATED)
    def add(caller: Caller, body: NewPrincipal) -> dict[str, object]:
        """Add a person or a program."""
        return _document(accounts.add(caller, body.name, body.roles, body.team))

    @routes.post("/principals/{name}/tokens", status_code=_CREATED)
    def issue(caller: Caller, name: str, body: NewToken, response: Response) -> dict[str, object]:
        """Make an access token; this answer is the only place where it is shown."""
        response.headers["Cache-Control"] = "no-store"
        token = accounts.issue_token(caller, name, body.label, days=body.days)
        return {"principal": name, "label": body.label, "days": body.days, "token": token}

    @routes.post("/principals/{name}/revocation")
    def revoke(caller: Caller, name: str) -> dict[str, object]:
        """End every token and session of a person or program."""
        return {"principal": name, "tokens": accounts.revoke_tokens(caller, name)}

    return routes


def plain_page(token: str, message: str) -> str:
    """The login form without any style."""
    note = f"<p role=alert>{html.escape(message)}</p>" if message else ""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Log in - Imprimatur</title><main><h1>Log in</h1>"
        f"{note}<form method=post action=/login><label>Access token <input name=token type=password required "
        f'autocomplete=off value="{html.escape(token)}"></label> <button>Log in</button></form></main></html>'
    )


def login_router(accounts: Accounts, page: LoginPage = plain_page) -> APIRouter:
    """Login and logout at the root; ``page`` draws the form."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/login")
    def follow_link(request: Request, token: str = "") -> Response:
        """The form, or with the token of a login link the models page.

        A link on another site's page only fills the form in: it could log somebody in unasked.
        """
        if not token or request.headers.get("sec-fetch-site") in {"cross-site", "same-site"}:
            return _form(page(token, ""))
        return _log_in(request, page, lambda: accounts.open_session(token, only_links=True))

    @routes.post("/login")
    def submit_form(request: Request, token: Annotated[str, Form()] = "") -> Response:
        """Log in with a login link's token or an access token."""
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            require_same_origin(request.headers)
        return _log_in(request, page, lambda: accounts.open_session(token.strip()))

    @routes.post("/logout")
    def log_out(request: Request, _caller: Caller) -> Response:
        """Log this browser out."""
        if SESSION_COOKIE in request.cookies:
            accounts.close_session(request.cookies[SESSION_COOKIE])
        response = RedirectResponse("/login", status_code=_SEE_OTHER)
        response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="lax")
        return response

    return routes


def _log_in(request: Request, page: LoginPage, opened: Callable[[], Session]) -> Response:
    try:
        session = opened()
    except Unauthenticated as error:
        return _form(page("", error.message), status=_UNAUTHORIZED)
    response = RedirectResponse("/", status_code=_SEE_OTHER, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        SESSION_COOKIE,
        session.cookie,
        expires=session.expires_at,
        path="/",
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def _form(text: str, *, status: int = 200) -> HTMLResponse:
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
    return HTMLResponse(text, status_code=status, headers=headers)


def _document(principal: Principal) -> dict[str, object]:
    return {"name": principal.name, "roles": sorted(principal.roles), "team": principal.team}
