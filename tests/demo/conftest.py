"""The one small demo run that every test of the whole line shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo_stage import DemoRun, run_demo
from imprimatur.api.processes import Fleet, free_port
from imprimatur.core.settings import Settings


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> DemoRun:
    """One small run for the whole session."""
    return run_demo(tmp_path_factory.mktemp("demo") / "home", "--small")


@pytest.fixture(scope="session")
def demo_fleet(demo_run: DemoRun) -> Iterator[Fleet]:
    """Server and gateway on the home that the demo left."""
    settings = Settings(home=demo_run.home, port=free_port(), gateway_port=free_port())
    with pytest.MonkeyPatch.context() as patch, Fleet(settings) as fleet:
        patch.setenv("IMPRIMATUR_SEAL_SECONDS", "3600")  # what a test leaves unsealed stays so
        fleet.start_server()
        fleet.start_gateway().wait_for(f"{fleet.gateway_address}/readyz")
        yield fleet
