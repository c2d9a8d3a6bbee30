"""What the steps of one demo share: people at work, running processes, bars, and how long each step took."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.progress import Progress

from imprimatur.api.processes import Fleet
from imprimatur.core.client import Client
from imprimatur.core.settings import Settings
from imprimatur.demo.cast import Cast
from imprimatur.demo.scale import Scale


@dataclass
class Stage:
    """One run of the demo in one home folder."""

    settings: Settings
    scale: Scale
    seed: int
    fleet: Fleet
    cast: Cast
    bars: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, total: int) -> Iterator[Step]:
        """A step of ``total`` parts with its bar; its seconds are kept."""
        began = time.monotonic()
        yield Step(self.bars, name, total)
        self.seconds[name] = round(time.monotonic() - began, 1)

    def client(self, token: str) -> Client:
        """The server's API as the owner of ``token``."""
        return Client(self.fleet.server_address, token)

    def environment(self, token: str) -> Mapping[str, str]:
        """The environment of a program that works with ``token``, through our client or MLflow's."""
        return {
            **self.fleet.environment(),
            "IMPRIMATUR_TOKEN": token,
            "MLFLOW_TRACKING_URI": self.fleet.server_address,
            "MLFLOW_TRACKING_TOKEN": token,
        }


class Step:
    """A bar that is moved as the parts of a step are done."""

    def __init__(self, bars: Progress, name: str, total: int) -> None:
        self._bars = bars
        self._task = bars.add_task(name, total=total)

    def advance(self) -> None:
        """One part is done."""
        self._bars.advance(self._task)

    def show(self, done: int, total: int) -> None:
        """``done`` of ``total`` parts are done."""
        self._bars.update(self._task, completed=done, total=total)
