"""Every query about principals, tokens and sessions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CursorResult, Row, Select, delete, select, update
from sqlalchemy.orm import Session as DatabaseSession

from imprimatur.access.model import Credential, Principal, Purpose, Role, Session
from imprimatur.access.tables import PrincipalRow, SessionRow, TokenRow


def insert_principal(session: DatabaseSession, principal: Principal, at: datetime) -> None:
    """Add a principal whose name is free."""
    session.add(
        PrincipalRow(
            name=principal.name,
            team=principal.team,
            roles=sorted(principal.roles),
            created_at=at,
            disabled_at=None,
        )
    )
    session.flush()


def principal(session: DatabaseSession, name: str) -> Principal | None:
    """The principal of that name."""
    row = session.get(PrincipalRow, name)
    return None if row is None else _principal(row)


def principals(session: DatabaseSession) -> list[Principal]:
    """Everybody, by name."""
    return [_principal(row) for row in session.scalars(select(PrincipalRow).order_by(PrincipalRow.name))]


def insert_token(
    session: DatabaseSession,
    *,
    hashed: str,
    name: str,
    label: str,
    purpose: Purpose,
    at: datetime,
    expires_at: datetime,
) -> None:
    """Add a token of an existing principal."""
    session.add(
        TokenRow(
            hash=hashed,
            principal=name,
            label=label,
            purpose=purpose.value,
            created_at=at,
            expires_at=expires_at,
        )
    )
    session.flush()


def credential(session: DatabaseSession, hashed: str) -> Credential | None:
    """The token with that hash, living or not."""
    row = session.execute(_tokens().where(TokenRow.hash == hashed)).one_or_none()
    return None if row is None else _credential(row)


def live_credential(session: DatabaseSession, hashed: str, now: datetime) -> Credential | None:
    """The token with that hash where it is neither used up, expired nor revoked, and its owner not disabled."""
    row = session.execute(_living(now).where(TokenRow.hash == hashed)).one_or_none()
    return None if row is None else _credential(row)


def use_link(session: DatabaseSession, hashed: str, now: datetime) -> bool:
    """Use a login link up; whether this call did it, where several try at once."""
    used = update(TokenRow).where(
        TokenRow.hash == hashed,
        TokenRow.purpose == Purpose.LOGIN.value,
        TokenRow.used_at.is_(None),
        TokenRow.revoked_at.is_(None),
        TokenRow.expires_at > now,
    )
    result = session.execute(used.values(used_at=now))
    return isinstance(result, CursorResult) and result.rowcount == 1


def revoke_tokens(session: DatabaseSession, name: str, now: datetime) -> int:
    """End every token and session of a principal; how many tokens that were."""
    ended = update(TokenRow).where(TokenRow.principal == name, TokenRow.revoked_at.is_(None))
    result = session.execute(ended.values(revoked_at=now))
    session.execute(delete(SessionRow).where(SessionRow.principal == name))
    return result.rowcount if isinstance(result, CursorResult) else 0


def insert_session(
    session: DatabaseSession, *, hashed: str, name: str, csrf: str, at: datetime, expires_at: datetime
) -> None:
    """Add a browser session, and forget those that expired."""
    session.execute(delete(SessionRow).where(SessionRow.expires_at <= at))
    session.add(SessionRow(hash=hashed, principal=name, csrf=csrf, created_at=at, expires_at=expires_at))
    session.flush()


def live_session(session: DatabaseSession, cookie: str, hashed: str, now: datetime) -> Session | None:
    """The browser session of the cookie with that hash, where it is not expired and its principal not disabled."""
    query = (
        select(SessionRow, PrincipalRow)
        .join(PrincipalRow, PrincipalRow.name == SessionRow.principal)
        .where(SessionRow.hash == hashed, SessionRow.expires_at > now, PrincipalRow.disabled_at.is_(None))
    )
    row = session.execute(query).one_or_none()
    return None if row is None else Session(cookie, row[0].csrf, _principal(row[1]), row[0].expires_at)


def delete_session(session: DatabaseSession, hashed: str) -> None:
    """Forget a browser session."""
    session.execute(delete(SessionRow).where(SessionRow.hash == hashed))


def live_api_tokens(session: DatabaseSession, now: datetime) -> list[Credential]:
    """Every API token that is accepted now, by hash."""
    query = _living(now).where(TokenRow.purpose == Purpose.API.value).order_by(TokenRow.hash)
    return [_credential(row) for row in session.execute(query)]


def _tokens() -> Select[TokenRow, PrincipalRow]:
    return select(TokenRow, PrincipalRow).join(PrincipalRow, PrincipalRow.name == TokenRow.principal)


def _living(now: datetime) -> Select[TokenRow, PrincipalRow]:
    return _tokens().where(
        TokenRow.used_at.is_(None),
        TokenRow.revoked_at.is_(None),
        TokenRow.expires_at > now,
        PrincipalRow.disabled_at.is_(None),
    )


def _principal(row: PrincipalRow) -> Principal:
    return Principal(row.name, frozenset(Role(role) for role in row.roles), row.team)


def _credential(row: Row[TokenRow, PrincipalRow]) -> Credential:
    token, owner = row
    return Credential(token.hash, _principal(owner), Purpose(token.purpose), token.expires_at)
