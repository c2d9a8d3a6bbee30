"""A server leaves what it loaded at its start out of later collections."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from imprimatur.core import garbage


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The other tests collect as Python does."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_was_made_before_is_walked_through_no_more_and_what_is_made_later_is() -> None:
    rarely = gc.get_threshold()[0]
    before: list[object] = []

    garbage.settle()
    later: list[object] = []

    collected = {id(each) for each in gc.get_objects()}
    assert id(before) not in collected
    assert id(later) in collected
    assert gc.get_threshold()[0] > rarely
