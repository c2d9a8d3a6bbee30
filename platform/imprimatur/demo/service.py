"""The first five minutes, start to end: train, register, evaluate, decide, release, serve, monitor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
from rich.progress import Progress

from imprimatur.access.model import Principal, Role
from imprimatur.access.service import Accounts
from imprimatur.api.processes import Fleet, free_port
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.demo import attempts, gateway, line
from imprimatur.demo.cast import Cast, hire
from imprimatur.demo.home import fresh_home
from imprimatur.demo.learning import train
from imprimatur.demo.model import Refusal, Result
from imprimatur.demo.scale import Scale
from imprimatur.demo.stage import Stage

_ADMIN = Principal("admin", frozenset({Role.ADMIN}), "platform")
_BASE, _MEMORISER = 1, 2


def run(settings: Settings, *, seed: int, scale: Scale, bars: Progress) -> Result:
    """Everything that happened, from training to served images and refusals.

    Works in ``settings.home``, which is emptied where an earlier demo made it, with a server, a worker and a gateway of
    its own on free ports. Raises Fault where a part does not work, and BadInput ``home-in-use``.
    """
    home = fresh_home(settings.home).resolve()
    ports = {"port": free_port(), "gateway_port": free_port()}
    settings = settings.model_copy(update={"home": home, "host": "127.0.0.1", "server": "", **ports})
    with Fleet(settings) as fleet:
        fleet.start_server()
        return _play(Stage(settings, scale, seed, fleet, _cast(settings), bars))


def _play(stage: Stage) -> Result:
    learned = _learn(stage)
    line.provide(stage, {**learned["datasets"], "training": learned["training_data"]})
    line.register(stage)
    worker = stage.fleet.start_worker()
    runs = line.evaluate(stage, worker)
    decisions = line.decide(stage)
    line.release(stage, _BASE, decisions[_BASE])
    game = gateway.connect(stage)
    images = gateway.ask_for_digits(stage, game)
    refusals = _attempts(stage, game)
    line.wait_for_monitor(stage, _BASE)
    return Result(
        seed=stage.seed,
        outcomes=tuple(line.outcome(stage, version, runs[version], decisions[version]) for version in line.VERSIONS),
        refusals=refusals,
        images=tuple(map(str, images)),
        contact_sheet=str(gateway.draw(stage, images)),
        seconds=stage.seconds,
    )


def _cast(settings: Settings) -> Cast:
    database = Database(settings.database)
    try:
        accounts = Accounts(AuditLog(database), settings.session_length)
        accounts.bootstrap(_ADMIN.name, _ADMIN.team)
        return hire(accounts, _ADMIN)
    finally:
        database.dispose()


def _learn(stage: Stage) -> dict[str, Any]:
    home = stage.settings.home
    arguments = ["--out", str(home / "training"), "--weights", str(stage.settings.weights), "--seed", str(stage.seed)]
    arguments += ["--steps-scale", str(stage.scale.training), "--tracking", stage.fleet.server_address]
    with stage.step("Train", 1) as step:
        learned = train(arguments, stage.environment(stage.cast.ana), stage.bars, home / "logs" / "training.log")
        step.advance()
    return learned


def _attempts(stage: Stage, game: openai.OpenAI) -> tuple[Refusal, ...]:
    """What came of every way to get version 2 served: only those that were refused are in the answer."""
    ana = stage.environment(stage.cast.ana)
    ways: tuple[Callable[[], Refusal | None], ...] = (
        lambda: attempts.by_command(_MEMORISER, ana),
        lambda: attempts.by_mlflow(_MEMORISER, ana),
        lambda: attempts.by_gateway(_MEMORISER, game),
    )
    tried = []
    with stage.step("Try to go around", len(ways)) as step:
        for attempt in ways:
            tried.append(attempt())
            step.advance()
    return tuple(refusal for refusal in tried if refusal is not None)
