"""A clock that the test turns."""

from __future__ import annotations

from datetime import datetime, timedelta

from imprimatur.core.clock import utc_now


class Hands:
    """A clock whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def wait(self, length: timedelta) -> None:
        """Let time pass."""
        self.now += length
