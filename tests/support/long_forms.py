"""Long forms: the same tests with full counts, run by ``make proof``."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Count = Callable[[int, int], int]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--proof``."""
    parser.addoption("--proof", action="store_true", help="run the long forms: full counts of everything")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    config.addinivalue_line("markers", "long_form: has a longer form that `make proof` runs")
    config.addinivalue_line("markers", "proof_only: runs in `make proof` only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--proof`` keep what has a long form, without it what has a short one."""
    if config.getoption("--proof"):
        chosen = [item for item in items if _marked(item, "long_form") or _marked(item, "proof_only")]
    else:
        chosen = [item for item in items if not _marked(item, "proof_only")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture
def count(pytestconfig: pytest.Config) -> Count:
    """``count(short, long)``: how many times to do it in this run."""
    proof = bool(pytestconfig.getoption("--proof"))
    return lambda short, long: long if proof else short


def _marked(item: pytest.Item, name: str) -> bool:
    return item.get_closest_marker(name) is not None
