"""The seeded house behind its pages: one to look at, and copies of it to change; a server for the browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from imprimatur.api import schema
from imprimatur.api.wiring import House
from imprimatur.core.settings import Settings
from seeded_house import app_of

OWN_PAGE = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}

LogIn = Callable[[House, str], TestClient]


@pytest.fixture
def house(seeded_home: Path, tmp_path: Path) -> Iterator[House]:
    """A copy of the story that this test may change."""
    home = tmp_path / "copy"
    shutil.copytree(seeded_home, home)
    opened = House.open(Settings(home=home))
    yield opened
    opened.close()


@pytest.fixture
def empty_house(tmp_path: Path) -> Iterator[House]:
    """A house in which nothing has happened but that people were hired."""
    settings = Settings(home=tmp_path / "empty")
    settings.home.mkdir()
    schema.upgrade(settings.database)
    opened = House.open(settings)
    opened.accounts.bootstrap("admin")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def log_in() -> LogIn:
    """A browser of ``name`` that went through the login link of ``house``."""

    def enter(house: House, name: str) -> TestClient:
        client = TestClient(app_of(house), headers=OWN_PAGE)
        answer = client.get("/login", params={"token": house.accounts.login_link_token(name)})
        assert answer.status_code == 200, answer.text
        return client

    return enter
