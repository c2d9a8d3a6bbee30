"""One transaction does all or nothing; writers queue; readers never wait."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.exc import StatementError

from imprimatur.core.database import Database
from imprimatur.costs.tables import UsageRow


def _row(reference: str, at: datetime) -> UsageRow:
    return UsageRow(
        reference=reference,
        at=at,
        kind="training",
        team="imaging",
        model="digits",
        version=1,
        device="cpu",
        seconds=1.0,
        images=0,
        amount=0.1,
        currency="EUR",
    )


def test_a_failed_block_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.transaction() as session:
            session.add(_row("a", datetime.now(UTC)))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.reading() as session:
        assert session.scalars(select(UsageRow)).all() == []


def test_times_come_back_aware_and_naive_ones_are_refused(database: Database) -> None:
    moment = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
    with database.transaction() as session:
        session.add(_row("a", moment))
    with database.reading() as session:
        assert session.scalars(select(UsageRow.at)).one() == moment
    with pytest.raises(StatementError, match="naive"), database.transaction() as session:
        session.add(_row("b", moment.replace(tzinfo=None)))


def test_twenty_writers_queue_without_a_lock_error(database: Database) -> None:
    errors: list[Exception] = []

    def write(number: int) -> None:
        try:
            with database.transaction() as session:
                assert session.get(UsageRow, "none") is None
                session.add(_row(f"w{number}", datetime.now(UTC)))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert (errors, len(session.scalars(select(UsageRow)).all())) == ([], 20)


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.transaction() as writer:
        writer.add(_row("a", datetime.now(UTC)))
        writer.flush()
        with database.reading() as reader:
            assert reader.scalars(select(UsageRow)).all() == []
