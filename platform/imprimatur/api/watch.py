"""The monitor's round beside the worker's evaluations."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from imprimatur.core.errors import ImprimaturError
from imprimatur.monitoring.service import Monitor

_SECONDS = 2.0
_log = structlog.get_logger("imprimatur.monitor")


@contextmanager
def watching(monitor: Monitor) -> Iterator[None]:
    """Inside, what gateways served is booked and scored every two seconds."""
    stop = threading.Event()
    thread = threading.Thread(target=_go_round, args=(monitor, stop), name="monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _go_round(monitor: Monitor, stop: threading.Event) -> None:
    while not stop.wait(_SECONDS):
        try:
            monitor.ingest()
        except ImprimaturError as error:
            _log.error("the round failed and will be tried again", code=error.code, message=error.message)
