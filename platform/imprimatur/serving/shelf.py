"""Loaded models by manifest digest: verified when they are loaded, dropped when they are released no more."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Fault, Forbidden, ImprimaturError, NotFound, Tampered, Unavailable
from imprimatur.core.settings import Settings
from imprimatur.serving.batching import Batcher
from imprimatur.serving.model import Released, Sampling
from imprimatur.serving.painting import Drawn, Order, Painter
from imprimatur.storage.service import SealedStore

_FORGET_FAILURE_SECONDS = 30.0
_TAKEN_BACK = Forbidden("not-released", "The version was taken back while your request waited, so it was not served")
_STOPPING = Unavailable("stopping", "This gateway is stopping; ask again, and another one answers")
_log = structlog.get_logger("imprimatur.gateway")


@dataclass(frozen=True)
class Model:
    """A loaded model and the queue in front of it."""

    painter: Painter
    queue: Batcher[Sampling, Order, Drawn]


@dataclass(frozen=True)
class _Failure:
    error: ImprimaturError
    at: float


class Shelf:
    """The models in memory. One thread draws for all of them, as they share one device."""

    def __init__(self, store: SealedStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._loading: dict[Digest, asyncio.Task[Model]] = {}
        self._failures: dict[Digest, _Failure] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._drawing: Executor = ThreadPoolExecutor(1, "draw")
        self._opening: Executor = ThreadPoolExecutor(1, "load")

    @property
    def loaded(self) -> int:
        """How many models are in memory."""
        return sum(_is_loaded(task) for task in self._loading.values())

    def keep(self, digests: frozenset[Digest]) -> None:
        """Drop every model whose digest is not among ``digests``; what waits for it is refused."""
        for digest in [digest for digest in self._loading if digest not in digests]:
            self._drop(digest, _TAKEN_BACK)

    async def model(self, release: Released) -> Model:
        """The loaded model of ``release``; loaded now, once for all who wait, where it is not yet.

        Raises Tampered ``file-changed``, naming the file, where the sealed bytes are not those that were approved.
        """
        digest = release.manifest_digest
        failure = self._failures.get(digest)
        if failure is not None and time.monotonic() - failure.at < _FORGET_FAILURE_SECONDS:
            raise failure.error
        task = self._loading.get(digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(release))
            self._loading[digest] = task
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Drop everything and return once nothing is being drawn."""
        for digest in list(self._loading):
            self._drop(digest, _STOPPING)
        if self._leaving:
            await asyncio.gather(*self._leaving)
        self._opening.shutdown()
        self._drawing.shutdown()

    async def _load(self, release: Released) -> Model:
        digest = release.manifest_digest
        begun = time.perf_counter()
        try:
            painter = await asyncio.get_running_loop().run_in_executor(self._opening, self._open, digest)
        except Exception as error:  # remembered and handed to whoever asked, never swallowed
            refused = _as_ours(error, release)
            _log.error(
                "model.not-loaded", model=release.name, digest=digest, code=refused.code, message=refused.message
            )
            self._failures[digest] = _Failure(refused, time.monotonic())
            self._loading.pop(digest, None)
            raise refused from error
        self._failures.pop(digest, None)
        _log.info("model.loaded", model=release.name, digest=digest, seconds=round(time.perf_counter() - begun, 3))
        return Model(painter, self._queue(painter.paint))

    def _open(self, digest: Digest) -> Painter:
        """The pipeline from a private copy whose every file was verified; nobody else can write to that copy."""
        with tempfile.TemporaryDirectory(prefix="imprimatur-") as scratch:
            return Painter.open(self._store, digest, Path(scratch) / "model", self._settings.device)

    def _queue(self, make: Callable[..., list[Drawn]]) -> Batcher[Sampling, Order, Drawn]:
        return Batcher(
            make,
            self._drawing,
            wait_seconds=self._settings.serve_wait_milliseconds / 1000,
            largest=self._settings.serve_batch,
            longest=self._settings.serve_queue,
        )

    def _drop(self, digest: Digest, reason: ImprimaturError) -> None:
        leaving = asyncio.get_running_loop().create_task(_retire(self._loading.pop(digest), reason))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        _log.info("model.dropped", digest=digest)


def _is_loaded(task: asyncio.Task[Model]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def _retire(task: asyncio.Task[Model], reason: ImprimaturError) -> None:
    await asyncio.wait([task])
    if _is_loaded(task):
        await task.result().queue.close(reason)


def _as_ours(error: Exception, release: Released) -> ImprimaturError:
    """``error`` as the client may see it: a missing sealed file is no missing model."""
    if isinstance(error, NotFound):
        return Tampered("file-changed", f"{release.name} can't be loaded: {error.message}", **error.facts)
    if isinstance(error, ImprimaturError):
        return error
    return Fault("model-not-loaded", f"{release.name} can't be loaded ({type(error).__name__}); see the gateway's log")
