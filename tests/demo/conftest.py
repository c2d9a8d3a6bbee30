"""The one small demo run that every test of the whole line shares. It runs beside all other tests, which come first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo_stage import DemoRun, StartedDemo
from imprimatur.api.processes import Fleet, free_port
from imprimatur.core.settings import Settings

_STARTED = pytest.StashKey[StartedDemo]()


@pytest.hookimpl(trylast=True)  # when it is settled which tests run
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that wait for the run last."""
    items.sort(key=_waits)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the run where a test waits for it."""
    config = session.config
    if not config.option.collectonly and any(_waits(item) for item in session.items):
        config.stash[_STARTED] = StartedDemo("--small")
        config.add_cleanup(config.stash[_STARTED].stop)


@pytest.fixture(scope="session")
def demo_run(pytestconfig: pytest.Config) -> DemoRun:
    """One small run for the whole session."""
    return pytestconfig.stash[_STARTED].finish()


@pytest.fixture(scope="session")
def demo_fleet(demo_run: DemoRun) -> Iterator[Fleet]:
    """Server and gateway on the home that the demo left."""
    settings = Settings(home=demo_run.home, port=free_port(), gateway_port=free_port())
    with pytest.MonkeyPatch.context() as patch, Fleet(settings) as fleet:
        patch.setenv("IMPRIMATUR_SEAL_SECONDS", "3600")  # what a test leaves unsealed stays so
        fleet.start_server()
        fleet.start_gateway().wait_for(f"{fleet.gateway_address}/readyz")
        yield fleet


def _waits(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and "demo_run" in item.fixturenames
