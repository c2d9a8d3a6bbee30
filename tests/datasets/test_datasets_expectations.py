"""Great Expectations works quietly: nothing printed, no thread left, no address called."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from imprimatur.datasets.expectations import validate
from imprimatur.datasets.model import DatasetKind
from imprimatur.datasets.parquet import read_table


def test_validation_is_silent(reference: Callable[..., bytes], capfd: pytest.CaptureFixture[str]) -> None:
    table = read_table(reference(), DatasetKind.REFERENCE)
    before = set(threading.enumerate())

    validation = validate(table, DatasetKind.REFERENCE, licence="CC0-1.0")

    assert validation["passed"]
    assert validation["engine"].startswith("great_expectations ")
    assert capfd.readouterr() == ("", "")
    assert set(threading.enumerate()) == before


def test_validation_calls_nobody(reference: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    called: list[object] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _self, address: called.append(address))

    validate(read_table(reference(), DatasetKind.REFERENCE), DatasetKind.REFERENCE, licence="CC0-1.0")

    assert called == []
