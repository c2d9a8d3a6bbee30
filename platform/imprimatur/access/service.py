"""Accounts: who may come in, with which token, from which browser.

Only SHA-256 hashes of secrets are stored; a secret is shown once, when it is made.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import timedelta

from sqlalchemy.exc import IntegrityError

from imprimatur.access import store
from imprimatur.access.model import SYSTEM, Action, Client, Principal, Purpose, Role, Session, new_principal
from imprimatur.audit.service import AuditLog, Unit
from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, digest_of_bytes, short
from imprimatur.core.errors import BadInput, Conflict, NotFound, Unauthenticated

_SECRET_BYTES = 32
_LINK_LENGTH = timedelta(minutes=15)
_LONGEST_DAYS = 366


class Accounts:
    """Principals, their tokens and their browser sessions."""

    def __init__(self, log: AuditLog, session_length: timedelta) -> None:
        self._log = log
        self._session_length = session_length

    def add(self, actor: Principal, name: str, roles: Collection[Role], team: str) -> Principal:
        """A new principal. Raises BadInput ``bad-principal`` and Conflict ``principal-exists``."""
        with self._log.unit_of_work(actor.name, "principal.add", name) as unit:
            actor.require(Action.MANAGE_ACCESS)
            principal = new_principal(name, roles, team)
            if store.principal(unit.session, name) is not None:
                raise Conflict("principal-exists", f"There is already a principal {name}; choose another name")
            _add(unit, principal)
        return principal

    def bootstrap(self, name: str = "admin", team: str = "platform", *, days: int = 90) -> str | None:
        """The first admin's token where there is nobody yet, else None.

        Several servers may start at once on an empty database: one of them gets the token.
        """
        try:
            with self._log.unit_of_work(SYSTEM.name, "principal.add", name) as unit:
                if store.principals(unit.session):
                    return None
                _add(unit, new_principal(name, {Role.ADMIN}, team))
                return _issue(unit, name, "first token", Purpose.API, timedelta(days=days))
        except IntegrityError:  # another server was first; its admin is the admin
            return None

    def principals(self, actor: Principal) -> list[Principal]:
        """Everybody, by name."""
        actor.require(Action.MANAGE_ACCESS)
        with self._log.database.reading() as session:
            return store.principals(session)

    def issue_token(self, actor: Principal, name: str, label: str, *, days: int = 90) -> str:
        """A new API token of ``name``: ``imp_`` and 256 random bits, shown this once.

        Raises NotFound ``no-such-principal`` and BadInput ``bad-token-request``.
        """
        with self._log.unit_of_work(actor.name, "token.issue", name) as unit:
            actor.require(Action.MANAGE_ACCESS)
            if not 1 <= days <= _LONGEST_DAYS or not label.strip() or len(label) > 256:
                raise BadInput(
                    "bad-token-request",
                    f"A token needs a label and 1 to {_LONGEST_DAYS} days (got label {label!r}, {days} days)",
                )
            return _issue(unit, name, label.strip(), Purpose.API, timedelta(days=days))

    def revoke_tokens(self, actor: Principal, name: str) -> int:
        """End every token and session of ``name``; how many tokens that were."""
        with self._log.unit_of_work(actor.name, "token.revoke", name) as unit:
            actor.require(Action.MANAGE_ACCESS)
            _existing(unit, name)
            ended = store.revoke_tokens(unit.session, name, self._log.clock())
            unit.record("token.revoked", tokens=ended)
        return ended

    def login_link_token(self, name: str) -> str:
        """A token that logs one browser in as ``name``, once, within 15 minutes."""
        with self._log.unit_of_work(SYSTEM.name, "login-link.issue", name) as unit:
            return _issue(unit, name, "login link", Purpose.LOGIN, _LINK_LENGTH)

    def authenticate(self, token: str) -> Principal:
        """Whose API token this is. Raises Unauthenticated ``bad-token``."""
        with self._log.database.reading() as session:
            found = store.live_credential(session, _hash(token), self._log.clock())
        if found is None or found.purpose is not Purpose.API:
            raise _bad_token()
        return found.principal

    def open_session(self, login_token: str, *, only_links: bool = False) -> Session:
        """A browser session for a login link's token, which is used up, or (unless ``only_links``) for an API token.

        Of several simultaneous uses of one link one opens a session. Raises Unauthenticated ``bad-token``; that a link
        came a second time or too late is recorded, tokens that nobody ever had are not.
        """
        hashed = _hash(login_token)
        with self._log.database.reading() as session:
            known = store.credential(session, hashed)
        if known is None or (only_links and known.purpose is not Purpose.LOGIN):
            raise _bad_token()
        with self._log.unit_of_work(known.principal.name, "session.open", known.principal.name) as unit:
            return self._open(unit, hashed)

    def session(self, cookie: str) -> Session:
        """The session of a browser. Raises Unauthenticated ``bad-session``."""
        with self._log.database.reading() as session:
            found = store.live_session(session, cookie, _hash(cookie), self._log.clock())
        if found is None:
            raise Unauthenticated("bad-session", "This browser is not logged in any more; log in again")
        return found

    def close_session(self, cookie: str) -> None:
        """Log a browser out."""
        name = self.session(cookie).principal.name
        with self._log.unit_of_work(name, "session.close", name) as unit:
            store.delete_session(unit.session, _hash(cookie))
            unit.record("session.closed")

    def hashes_of(self, role: Role) -> list[Client]:
        """The hash of every API token that is accepted now and whose owner has ``role``, with name and team."""
        with self._log.database.reading() as session:
            tokens = store.live_api_tokens(session, self._log.clock())
        return [Client(t.hash, t.principal.name, t.principal.team) for t in tokens if role in t.principal.roles]

    def _open(self, unit: Unit, hashed: Digest) -> Session:
        now = self._log.clock()
        found = store.live_credential(unit.session, hashed, now)
        if found is None or (found.purpose is Purpose.LOGIN and not store.use_link(unit.session, hashed, now)):
            raise _bad_token()
        name = found.principal.name
        expires_at = now + self._session_length
        if found.purpose is Purpose.API:
            expires_at = min(expires_at, found.expires_at)
        session = Session(_secret(), secrets.token_urlsafe(_SECRET_BYTES), found.principal, expires_at)
        store.insert_session(
            unit.session,
            hashed=_hash(session.cookie),
            name=name,
            csrf=session.csrf,
            at=now,
            expires_at=expires_at,
        )
        unit.record("session.opened", token=short(hashed), expires_at=iso(expires_at))
        return session


def _add(unit: Unit, principal: Principal) -> None:
    event = unit.record("principal.added", roles=sorted(principal.roles), team=principal.team)
    store.insert_principal(unit.session, principal, event.at)


def _issue(unit: Unit, name: str, label: str, purpose: Purpose, length: timedelta) -> str:
    _existing(unit, name)
    token = _secret()
    hashed = _hash(token)
    action = "login-link.issued" if purpose is Purpose.LOGIN else "token.issued"
    event = unit.record(action, token=short(hashed), label=label, days=length / timedelta(days=1))
    store.insert_token(
        unit.session,
        hashed=hashed,
        name=name,
        label=label,
        purpose=purpose,
        at=event.at,
        expires_at=event.at + length,
    )
    return token


def _existing(unit: Unit, name: str) -> Principal:
    found = store.principal(unit.session, name)
    if found is None:
        raise NotFound(
            "no-such-principal", f"There is no principal {name!r}; add it first with `imprimatur access add`"
        )
    return found


def _secret() -> str:
    return "imp_" + secrets.token_urlsafe(_SECRET_BYTES)


def _hash(secret: str) -> Digest:
    return digest_of_bytes(secret.encode("utf-8", "surrogateescape"))


def _bad_token() -> Unauthenticated:
    return Unauthenticated(
        "bad-token",
        "This token is not accepted: it is unknown, expired, revoked or used up (expected a token from "
        "`imprimatur access token`, or a login link that nobody used yet)",
    )
