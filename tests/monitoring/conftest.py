"""A released version's home, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor_stage import MonitorStage, make_home, open_home


@pytest.fixture(scope="session")
def released_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with ``tiny/1`` in production."""
    import torch

    torch.set_num_threads(1)  # threads that spin for each other take minutes on a busy machine
    root = tmp_path_factory.mktemp("released")
    (root / "home").mkdir()
    make_home(root / "home", root)
    return root / "home"


@pytest.fixture
def home(released_home: Path, tmp_path: Path) -> Path:
    """A copy of it that only this test has."""
    return Path(shutil.copytree(released_home, tmp_path / "home"))


@pytest.fixture
def stage(home: Path) -> Iterator[MonitorStage]:
    """Its monitor."""
    with open_home(home) as opened:
        yield opened
