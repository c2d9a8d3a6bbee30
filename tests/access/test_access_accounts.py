"""Accounts: tokens are shown once and kept as hashes, links work once, sessions end; all of it is in the log."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from imprimatur.access.model import Action, Principal, Role, Session
from imprimatur.access.service import Accounts
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.digests import digest_of_bytes
from imprimatur.core.errors import BadInput, Conflict, Forbidden, ImprimaturError, NotFound, Unauthenticated
from turned_clock import Hands


def actions(journal: AuditLog) -> list[str]:
    """What the log says was done, newest first."""
    return [event.action for event in journal.recent()]


def stored_text(database: Database) -> str:
    """Everything in the tables of this room and the log, as text."""
    tables = ("imp_principal", "imp_token", "imp_session", "imp_audit_event")
    with database.reading() as session:
        return repr([session.execute(text(f"SELECT * FROM {table}")).all() for table in tables])


def test_a_token_has_256_random_bits_and_opens_the_door(accounts: Accounts, root: Principal) -> None:
    token = accounts.issue_token(root, "ana", "laptop")

    assert token.startswith("imp_")
    assert len(base64.urlsafe_b64decode(token.removeprefix("imp_") + "=")) == 32
    assert accounts.authenticate(token) == Principal("ana", frozenset({Role.ENGINEER}), "imaging")
    assert accounts.issue_token(root, "ana", "laptop") != token


def test_no_secret_is_stored(accounts: Accounts, any_database: Database, root: Principal) -> None:
    token = accounts.issue_token(root, "ana", "laptop")
    link = accounts.login_link_token("ana")
    session = accounts.open_session(accounts.login_link_token("ana"))

    kept = stored_text(any_database)

    assert digest_of_bytes(token.encode()) in kept
    assert digest_of_bytes(session.cookie.encode()) in kept
    for secret in (token, link, session.cookie):
        assert secret.removeprefix("imp_") not in kept


@pytest.mark.parametrize("token", ["", "imp_", "imp_" + "A" * 43, "x" * 100_000, "\udcff", "imp_\x00"])
def test_a_token_that_nobody_has_is_refused_without_a_trace(accounts: Accounts, journal: AuditLog, token: str) -> None:
    before = actions(journal)

    for use in (accounts.authenticate, accounts.open_session, accounts.session):
        with pytest.raises(Unauthenticated):
            use(token)

    assert actions(journal) == before


def test_a_token_expires(accounts: Accounts, root: Principal, clock: Hands) -> None:
    token = accounts.issue_token(root, "ana", "laptop", days=2)
    clock.wait(timedelta(days=2) - timedelta(seconds=1))
    assert accounts.authenticate(token).name == "ana"

    clock.wait(timedelta(seconds=1))
    with pytest.raises(Unauthenticated, match="expired") as refused:
        accounts.authenticate(token)
    assert refused.value.code == "bad-token"


def test_revoking_ends_tokens_and_sessions(accounts: Accounts, root: Principal, journal: AuditLog) -> None:
    token, link = accounts.issue_token(root, "ana", "laptop"), accounts.login_link_token("ana")
    session = accounts.open_session(token)
    other = accounts.issue_token(root, "bot", "shop")

    assert accounts.revoke_tokens(root, "ana") == 2

    for use, secret in ((accounts.authenticate, token), (accounts.open_session, link), (accounts.open_session, token)):
        with pytest.raises(Unauthenticated):
            use(secret)
    with pytest.raises(Unauthenticated):
        accounts.session(session.cookie)
    assert accounts.authenticate(other).name == "bot"
    assert "token.revoked" in actions(journal)


def test_who_is_disabled_stays_outside(accounts: Accounts, root: Principal, any_database: Database) -> None:
    token = accounts.issue_token(root, "ana", "laptop")
    session = accounts.open_session(token)
    with any_database.transaction() as changing:
        changing.execute(text("UPDATE imp_principal SET disabled_at = created_at WHERE name = 'ana'"))

    with pytest.raises(Unauthenticated):
        accounts.authenticate(token)
    with pytest.raises(Unauthenticated):
        accounts.session(session.cookie)


def test_a_login_link_works_once(accounts: Accounts, journal: AuditLog) -> None:
    link = accounts.login_link_token("ana")
    session = accounts.open_session(link)

    assert accounts.session(session.cookie) == session
    assert session.principal.name == "ana"
    with pytest.raises(Unauthenticated) as refused:
        accounts.open_session(link)
    assert refused.value.code == "bad-token"
    assert actions(journal)[:3] == ["session.open.refused", "session.opened", "login-link.issued"]


def test_a_login_link_lasts_15_minutes(accounts: Accounts, clock: Hands) -> None:
    early, late = accounts.login_link_token("ana"), accounts.login_link_token("ana")
    clock.wait(timedelta(minutes=15) - timedelta(seconds=1))
    accounts.open_session(early)

    clock.wait(timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        accounts.open_session(late)


def test_a_login_link_is_no_api_token(accounts: Accounts) -> None:
    link = accounts.login_link_token("ana")

    with pytest.raises(Unauthenticated):
        accounts.authenticate(link)
    accounts.open_session(link)  # and trying did not use it up


def test_an_api_token_in_a_link_logs_nobody_in(accounts: Accounts, root: Principal) -> None:
    token = accounts.issue_token(root, "ana", "laptop")

    with pytest.raises(Unauthenticated):
        accounts.open_session(token, only_links=True)
    assert accounts.open_session(token).principal.name == "ana"


def test_of_simultaneous_uses_of_a_link_one_gets_a_session(accounts: Accounts) -> None:
    link = accounts.login_link_token("ana")

    def use(_: int) -> Session | ImprimaturError:
        try:
            return accounts.open_session(link)
        except ImprimaturError as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        ended = list(pool.map(use, range(16)))

    assert [type(end) for end in ended].count(Session) == 1
    assert [type(end) for end in ended].count(Unauthenticated) == 15


def test_a_session_ends_by_itself_by_logout_and_with_its_token(
    accounts: Accounts, root: Principal, clock: Hands, journal: AuditLog
) -> None:
    short_token = accounts.issue_token(root, "ana", "laptop", days=1)
    clock.wait(timedelta(hours=20))
    bounded = accounts.open_session(short_token)
    closed, kept = (accounts.open_session(accounts.login_link_token("ana")) for _ in range(2))
    accounts.close_session(closed.cookie)
    assert "session.closed" in actions(journal)

    with pytest.raises(Unauthenticated) as refused:
        accounts.session(closed.cookie)
    assert refused.value.code == "bad-session"
    clock.wait(timedelta(hours=4))
    with pytest.raises(Unauthenticated):
        accounts.session(bounded.cookie)
    assert accounts.session(kept.cookie) == kept
    clock.wait(timedelta(hours=8))
    with pytest.raises(Unauthenticated):
        accounts.session(kept.cookie)


@pytest.mark.parametrize("person", ["ana", "ben", "olga"])
def test_only_an_admin_manages_access_and_a_refusal_is_in_the_log(
    accounts: Accounts, journal: AuditLog, request: pytest.FixtureRequest, person: str
) -> None:
    actor: Principal = request.getfixturevalue(person)
    assert not actor.may(Action.MANAGE_ACCESS)

    for attempt in (
        lambda: accounts.add(actor, "eve", [Role.ADMIN], "imaging"),
        lambda: accounts.issue_token(actor, "ana", "laptop"),
        lambda: accounts.revoke_tokens(actor, "ana"),
        lambda: accounts.principals(actor),
    ):
        with pytest.raises(Forbidden):
            attempt()

    assert actions(journal)[:3] == ["token.revoke.refused", "token.issue.refused", "principal.add.refused"]
    assert [event.actor for event in journal.recent(limit=3)] == [person] * 3


def test_a_name_is_taken_once(accounts: Accounts, root: Principal) -> None:
    with pytest.raises(Conflict) as refused:
        accounts.add(root, "ana", [Role.ADMIN], "imaging")

    assert refused.value.code == "principal-exists"
    assert accounts.principals(root)[0].roles == {Role.ENGINEER}


def test_nobody_has_no_token(accounts: Accounts, root: Principal) -> None:
    for attempt in (
        lambda: accounts.issue_token(root, "eve", "laptop"),
        lambda: accounts.login_link_token("eve"),
        lambda: accounts.revoke_tokens(root, "eve"),
    ):
        with pytest.raises(NotFound) as refused:
            attempt()
        assert refused.value.code == "no-such-principal"


@pytest.mark.parametrize(("label", "days"), [("laptop", 0), ("laptop", 367), ("laptop", -1), ("", 90), ("x" * 257, 90)])
def test_a_token_has_a_label_and_an_end(accounts: Accounts, root: Principal, label: str, days: int) -> None:
    with pytest.raises(BadInput) as refused:
        accounts.issue_token(root, "ana", label, days=days)

    assert refused.value.code == "bad-token-request"


def test_gateways_learn_the_hashes_of_living_application_tokens(
    accounts: Accounts, root: Principal, clock: Hands
) -> None:
    old = accounts.issue_token(root, "bot", "old", days=1)
    clock.wait(timedelta(days=1))
    token = accounts.issue_token(root, "bot", "shop")
    accounts.issue_token(root, "ana", "laptop")
    accounts.login_link_token("bot")

    assert old != token
    assert accounts.hashes_of(Role.APPLICATION) == [(digest_of_bytes(token.encode()), "bot", "shop")]


def test_an_empty_house_gets_one_admin(journal: AuditLog) -> None:
    fresh = Accounts(journal, timedelta(hours=1))
    with ThreadPoolExecutor(8) as pool:
        tokens = [token for token in pool.map(lambda _: fresh.bootstrap(), range(8)) if token]

    assert len(tokens) == 1
    admin = fresh.authenticate(tokens[0])
    assert admin == Principal("admin", frozenset({Role.ADMIN}), "platform")
    assert fresh.bootstrap("other") is None
    assert [principal.name for principal in fresh.principals(admin)] == ["admin"]
