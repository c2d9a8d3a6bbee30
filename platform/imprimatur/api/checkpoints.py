"""Checkpoints of the audit log on a schedule, for as long as the server is up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import structlog
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from imprimatur.api.wiring import House
from imprimatur.audit.checkpoints import write_checkpoint
from imprimatur.core.errors import ImprimaturError

_log = structlog.get_logger("imprimatur.audit")


def checkpointing(house: House) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """A lifespan that writes a signed checkpoint at once, every ``checkpoint_seconds``, and at the end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        writing = asyncio.create_task(_keep_writing(house))
        try:
            yield
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            await _write(house)

    return lifespan


async def _keep_writing(house: House) -> None:
    while True:
        await _write(house)
        await asyncio.sleep(house.settings.checkpoint_seconds)


async def _write(house: House) -> None:
    try:
        settings = house.settings
        await run_in_threadpool(write_checkpoint, house.log, settings.checkpoints, house.keys, settings.audit_origin)
    except (ImprimaturError, OSError) as error:
        _log.error("no checkpoint was written; the next round tries again", error=str(error))
