"""What time it is, in UTC."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The present moment as an aware datetime in UTC."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """``moment`` as RFC 3339 text in UTC with microseconds, e.g. ``2026-11-23T06:30:00.000000Z``.

    >>> iso(datetime(2026, 11, 23, 6, 30, tzinfo=UTC))
    '2026-11-23T06:30:00.000000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
