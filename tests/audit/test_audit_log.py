"""The log: events commit with their changes, refusals stay, writers queue."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from imprimatur.audit import store
from imprimatur.audit.merkle import root_over
from imprimatur.audit.routes import router
from imprimatur.audit.service import AuditLog
from imprimatur.core.errors import Refused


def note(journal: AuditLog, subject: str, action: str = "note.written") -> None:
    """One event by ana."""
    with journal.unit_of_work("ana", "note.write", subject) as unit:
        unit.record(action, text="hello")


def actions(journal: AuditLog) -> list[str]:
    """What was done, oldest first."""
    return [event.action for event in reversed(journal.recent())]


def test_an_event_commits_with_its_change_or_not_at_all(journal: AuditLog) -> None:
    note(journal, "a")

    def break_off() -> None:
        with journal.unit_of_work("ana", "note.write", "b") as unit:
            unit.record("note.written")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()

    assert actions(journal) == ["note.written"]


def test_a_refusal_is_recorded_and_what_came_before_it_is_not(journal: AuditLog) -> None:
    def refuse() -> None:
        with journal.unit_of_work("ana", "note.write", "b") as unit:
            unit.record("note.written")
            raise Refused("too-late", "It is too late")

    with pytest.raises(Refused):
        refuse()

    (event,) = journal.recent()
    assert (event.action, event.actor, event.subject) == ("note.write.refused", "ana", "b")
    assert event.detail == {"code": "too-late", "message": "It is too late"}


def test_writers_at_once_make_one_line_without_gaps(journal: AuditLog) -> None:
    note(journal, "first")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: note(journal, str(n)), range(40)))

    with journal.database.reading() as session:
        entries = list(store.entries(session))
    assert [event.index for event, _ in entries] == list(range(41))
    assert journal.head().root == "sha256:" + root_over(leaf for _, leaf in entries).hex()


def test_reading_sees_one_state_and_can_not_write(journal: AuditLog) -> None:
    note(journal, "a")
    with journal.database.reading() as session:
        before = store.head_of(session)
        note(journal, "b")
        session.expire_all()
        assert store.head_of(session) == before
    assert journal.head().size == 2


def test_events_over_http_come_in_pages(journal: AuditLog) -> None:
    for n in range(5):
        note(journal, f"digits/{n % 2}")
    app = FastAPI()
    app.include_router(router(journal))
    client = TestClient(app)

    first = client.get("/audit/events", params={"limit": 3}).json()
    rest = client.get("/audit/events", params={"limit": 3, "before": first["next"]}).json()

    assert [event["index"] for event in first["events"] + rest["events"]] == [4, 3, 2, 1, 0]
    assert rest["next"] is None
    assert first["events"][0]["detail"] == {"text": "hello"}
    assert first["events"][0]["at"].endswith("Z")
    some = client.get("/audit/events", params={"subject": "digits/1"}).json()
    assert [event["index"] for event in some["events"]] == [3, 1]
    assert client.get("/audit/head").json()["size"] == 5
