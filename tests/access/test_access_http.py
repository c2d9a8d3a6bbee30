"""The door: nobody comes in without a token or a session, from another host, or on another site's behalf."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.middleware.wsgi import WSGIMiddleware
from starlette.websockets import WebSocketDisconnect

from imprimatur.access.http import SESSION_COOKIE, Caller, LoginMiddleware, current_principal
from imprimatur.access.model import Principal, Role
from imprimatur.access.routes import login_router, router
from imprimatur.access.service import Accounts
from imprimatur.audit.service import AuditLog
from imprimatur.core import problems
from imprimatur.core.database import Database

_ADMIN = Role.ADMIN
_HERE = "http://127.0.0.1:8400"
_PAGE = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def journal(database: Database) -> AuditLog:
    """One kind of database is enough: the door has no queries of its own."""
    return AuditLog(database)


@pytest.fixture
def token(accounts: Accounts, root: Principal) -> str:
    """Ana's API token."""
    return accounts.issue_token(root, "ana", "laptop")


@pytest.fixture
def client(accounts: Accounts) -> Iterator[TestClient]:
    """An application of ours behind the door, as a browser or a program sees it; it follows no redirects."""
    app = FastAPI()
    problems.install(app)
    app.include_router(router(accounts), prefix="/api/v1")
    app.include_router(login_router(accounts))

    @app.api_route("/things/{path:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    def things(caller: Caller) -> str:
        current = current_principal.get()
        return f"{caller.name} {current.name if current else None}"

    for path in ("/healthz", "/readyz", "/static/site.css", "/api/v1/bundle", "/api/v1/keys"):
        app.add_api_route(path, lambda: "open", methods=["GET", "POST"])
    app.mount("/wsgi", WSGIMiddleware(_tell_caller))
    guarded = LoginMiddleware(app, accounts, ["127.0.0.1", "localhost", "::1"])
    with TestClient(guarded, base_url=_HERE, follow_redirects=False) as opened:
        yield opened


def _tell_caller(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    principal = current_principal.get()
    return [(principal.name if principal else "nobody").encode()]


def bearer(token: str) -> dict[str, str]:
    """How programs present a token."""
    return {"Authorization": f"Bearer {token}"}


def logged_in(client: TestClient, accounts: Accounts) -> TestClient:
    """The client with ana's session cookie."""
    client.cookies.set(SESSION_COOKIE, accounts.open_session(accounts.login_link_token("ana")).cookie)
    return client


@pytest.mark.parametrize("path", ["/", "/things/1", "/api/v1/me", "/nowhere", "/wsgi/", "/api/v1/bundle/1", "/loginx"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_the_default_is_no(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["code"] == "login-required"


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/static/site.css", "/api/v1/bundle", "/api/v1/keys", "/login"]
)
def test_what_is_open_is_open_for_looking_only(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200
    if path != "/login":
        assert client.post(path).status_code == 401


@pytest.mark.parametrize("path", ["/static/../things/1", "/static/..%2fthings/1", "/static/%2e%2e/things/1"])
def test_an_open_folder_leads_nowhere_else(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 401


def test_a_token_names_the_caller_everywhere(client: TestClient, token: str) -> None:
    assert client.get("/things/1", headers=bearer(token)).json() == "ana ana"
    assert client.post("/things/1", headers={"Authorization": f"bearer  {token} "}).json() == "ana ana"
    assert client.get("/wsgi/", headers=bearer(token)).text == "ana"
    me = client.get("/api/v1/me", headers=bearer(token)).json()
    assert me == {"name": "ana", "roles": ["engineer"], "team": "imaging"}
    assert current_principal.get() is None


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Bearer imp_" + "A" * 43, "bad-token"),
        ("Bearer " + "x" * 1_000_000, "bad-token"),
        ("Bearer ", "login-required"),
        ("Bearer", "login-required"),
        ("Basic YW5hOmFuYQ==", "login-required"),
        ("", "login-required"),
    ],
)
def test_a_bad_token_is_told_clearly(client: TestClient, header: str, code: str) -> None:
    answer = client.get("/things/1", headers={"Authorization": header, **_PAGE})

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert "expected" in answer.json()["detail"]


def test_a_bad_token_is_not_made_good_by_a_cookie(client: TestClient, accounts: Accounts) -> None:
    logged_in(client, accounts)

    assert client.get("/things/1", headers=bearer("imp_wrong")).status_code == 401


def test_applications_have_no_business_here(client: TestClient, accounts: Accounts, root: Principal) -> None:
    answer = client.get("/things/1", headers=bearer(accounts.issue_token(root, "bot", "shop")))

    assert (answer.status_code, answer.json()["code"]) == (403, "not-permitted")


def test_a_browser_is_sent_to_the_login_page(client: TestClient) -> None:
    for cookies in ({}, {SESSION_COOKIE: "imp_old"}):
        client.cookies.update(cookies)
        answer = client.get("/things/1", headers=_PAGE)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert client.get("/things/1").status_code == 401
        assert client.post("/things/1", headers={**_PAGE, "Sec-Fetch-Site": "same-origin"}).status_code == 401


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8400", "localhost", "LOCALHOST:1", "[::1]:8400", "localhost."]
)
def test_it_answers_to_its_own_names(client: TestClient, token: str, host: str) -> None:
    assert client.get("/things/1", headers={**bearer(token), "Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "evil.example:8400",
        "localhost@evil.example",
        "evil.example/localhost",
        "",
        "[::1",
        "localhost:port",
        "localhost:8400:1",
        "127.0.0.1, evil.example",
        "2130706433",
        "localhost#",
    ],
)
@pytest.mark.parametrize("path", ["/things/1", "/healthz", "/login"])
def test_it_answers_to_no_other_name(client: TestClient, token: str, host: str, path: str) -> None:
    answer = client.get(path, headers={**bearer(token), "Host": host})

    assert (answer.status_code, answer.json()["code"]) == (421, "wrong-host")


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": _HERE}, True),
        ({"Origin": _HERE}, True),
        ({}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),  # another port of this machine
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": _HERE}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://127.0.0.1:8401"}, False),
        ({"Origin": "http://127.0.0.1:8400.evil.example"}, False),
        ({"Origin": "http://evil@127.0.0.1:8400"}, False),
    ],
)
def test_a_cookie_changes_things_for_our_own_pages_only(
    client: TestClient, accounts: Accounts, headers: dict[str, str], allowed: bool
) -> None:
    logged_in(client, accounts)

    for method in ("POST", "PUT", "DELETE", "PATCH"):
        answer = client.request(method, "/things/1", headers=headers)
        assert answer.status_code == (200 if allowed else 403), (method, headers)
        if not allowed:
            assert answer.json()["code"] == "cross-site"
    assert client.get("/things/1", headers=headers).status_code == 200


def test_a_token_needs_no_origin(client: TestClient, token: str) -> None:
    assert client.post("/things/1", headers={**bearer(token), "Origin": "http://evil.example"}).status_code == 200


def test_a_web_socket_needs_a_token_too(client: TestClient, accounts: Accounts) -> None:
    logged_in(client, accounts)

    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/things/1"):
        raise AssertionError("the door is shut")


def test_a_login_link_opens_one_session(client: TestClient, accounts: Accounts) -> None:
    link = accounts.login_link_token("ana")
    answer = client.get("/login", params={"token": link}, headers={"Sec-Fetch-Site": "none"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{SESSION_COOKIE}=imp_")
    assert {"httponly", "samesite=lax", "path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "secure" not in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert client.get("/things/1").json() == "ana ana"

    client.cookies.clear()
    again = client.get("/login", params={"token": link})
    assert again.status_code == 401
    assert "set-cookie" not in again.headers
    assert "not accepted" in again.text


def test_a_link_on_another_site_logs_nobody_in_unasked(client: TestClient, accounts: Accounts) -> None:
    link = accounts.login_link_token("ana")
    for site in ("cross-site", "same-site"):
        shown = client.get("/login", params={"token": link}, headers={"Sec-Fetch-Site": site})
        assert shown.status_code == 200
        assert "set-cookie" not in shown.headers
        assert link in shown.text

    answer = client.post("/login", data={"token": link}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 303


def test_the_form_takes_an_access_token_and_the_link_does_not(client: TestClient, token: str) -> None:
    assert client.get("/login", params={"token": token}).status_code == 401

    assert client.post("/login", data={"token": f" {token} "}).status_code == 303
    assert client.get("/things/1").json() == "ana ana"


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_another_sites_form_logs_nobody_in(client: TestClient, token: str, headers: dict[str, str]) -> None:
    answer = client.post("/login", data={"token": token}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")


def test_what_is_typed_into_the_form_is_not_run(client: TestClient) -> None:
    shown = client.get("/login", params={"token": '"><script>x</script>'}, headers={"Sec-Fetch-Site": "cross-site"})

    assert "<script>" not in shown.text


def test_logout_ends_the_session(client: TestClient, accounts: Accounts) -> None:
    logged_in(client, accounts)
    cookie = client.cookies[SESSION_COOKIE]
    assert client.post("/logout").status_code == 403

    answer = client.post("/logout", headers={"Sec-Fetch-Site": "same-origin"})

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    client.cookies.set(SESSION_COOKIE, cookie)
    assert client.get("/things/1").status_code == 401


def test_over_https_the_cookie_stays_there(client: TestClient, accounts: Accounts) -> None:
    answer = client.get("https://127.0.0.1:8400/login", params={"token": accounts.login_link_token("ana")})

    assert "secure" in answer.headers["set-cookie"].lower()


def test_an_admin_adds_people_and_makes_tokens(client: TestClient, accounts: Accounts) -> None:
    chief = accounts.bootstrap()
    assert chief is None  # there are people already
    head = accounts.add(Principal("root", frozenset({_ADMIN}), "platform"), "head", [_ADMIN], "platform")
    as_head = bearer(accounts.issue_token(head, "head", "desk"))

    added = client.post(
        "/api/v1/principals", headers=as_head, json={"name": "ben", "roles": ["reviewer"], "team": "law"}
    )
    assert (added.status_code, added.json()) == (201, {"name": "ben", "roles": ["reviewer"], "team": "law"})
    made = client.post("/api/v1/principals/ben/tokens", headers=as_head, json={"label": "desk", "days": 2})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    as_ben = bearer(made.json()["token"])
    assert client.get("/api/v1/me", headers=as_ben).json()["name"] == "ben"

    refused = client.post("/api/v1/principals", headers=as_ben, json={"name": "eve", "roles": ["admin"], "team": "law"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not-permitted")
    ended = client.post("/api/v1/principals/ben/revocation", headers=as_head).json()
    assert ended == {"principal": "ben", "tokens": 1}
    assert client.get("/api/v1/me", headers=as_ben).status_code == 401
    names = [person["name"] for person in client.get("/api/v1/principals", headers=as_head).json()["principals"]]
    assert names == ["ana", "ben", "bot", "head"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "eve", "roles": ["emperor"], "team": "law"},
        {"name": "eve", "roles": [], "team": "law"},
        {"name": "Eve", "roles": ["reviewer"], "team": "law"},
        {"name": "eve", "roles": ["reviewer"]},
        {"name": "eve", "roles": ["reviewer"], "team": "law", "admin": True},
    ],
)
def test_a_principal_that_makes_no_sense_is_bad_input(
    client: TestClient, accounts: Accounts, root: Principal, body: dict[str, object]
) -> None:
    accounts.add(root, "head", [_ADMIN], "platform")
    as_head = bearer(accounts.issue_token(root, "head", "desk"))

    answer = client.post("/api/v1/principals", headers=as_head, content=json.dumps(body))

    assert answer.status_code == 422
    assert answer.json()["code"] in {"bad-request", "bad-principal"}
