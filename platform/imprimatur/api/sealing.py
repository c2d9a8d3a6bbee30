"""Sealing of versions that came through plain MLflow, for as long as the server is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from imprimatur.access.model import Principal, Role
from imprimatur.api.wiring import House
from imprimatur.core.errors import Fault, ImprimaturError
from imprimatur.registry.model import Version
from imprimatur.registry.service import Registry

_log = structlog.get_logger("imprimatur.registry")
_NAME = "imprimatur"
_TOLD = 300


def sealing(house: House) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that seals every version which nobody sealed within ``seal_seconds`` of its registration."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        working = asyncio.create_task(_keep_sealing(house.registry, house.settings.seal_seconds))
        try:
            yield
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    return lifespan


async def _keep_sealing(registry: Registry, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await run_in_threadpool(seal_waiting, registry, timedelta(seconds=seconds))
        except Exception:
            _log.exception("versions wait to be sealed; the next round tries again")


def seal_waiting(registry: Registry, age: timedelta) -> int:
    """Seal every version that waits since ``age``, and return how many now are. A refusal is an event, told once.

    What breaks over one version is a refusal of that one, with the code ``seal-failed``; the others are sealed.
    """
    return sum(_seal(registry, version) for version in registry.waiting(age))


def _seal(registry: Registry, version: Version) -> bool:
    actor = Principal(_NAME, frozenset({Role.ENGINEER}), version.team)
    try:
        registry.seal(actor, version.model, version.version)
    except ImprimaturError as error:
        _log.warning("version.not-sealed", version=version.label, code=error.code, message=error.message)
        return False
    except Exception as error:
        _log.exception("version.not-sealed", version=version.label)
        registry.log.refusal(actor.name, "version.seal", version.label, _broken(version, error))
        return False
    return True


def _broken(version: Version, error: Exception) -> Fault:
    found = f"{type(error).__name__}: {error}"[:_TOLD].encode("ascii", "backslashreplace").decode("ascii")
    return Fault(
        "seal-failed",
        f"Sealing {version.label} broke with {found} (expected a folder that can be sealed or refused); "
        "read the server's log, then register it as a new version",
    )
