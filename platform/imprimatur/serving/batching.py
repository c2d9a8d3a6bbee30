"""Dynamic batching: images that can be drawn together are, each with its own seed, error and abort."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from imprimatur.core.errors import ImprimaturError, Unavailable

Key = TypeVar("Key")
Order = TypeVar("Order")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Made(Generic[Result]):
    """One result with its share of the batch's seconds."""

    result: Result
    seconds: float
    mates: int


@dataclass(frozen=True)
class _Ticket(Generic[Key, Order, Result]):
    key: Key
    order: Order
    done: asyncio.Future[Made[Result]]


class Batcher(Generic[Key, Order, Result]):
    """Joins orders with equal keys that arrive within a few milliseconds into one call of ``make``.

    ``make`` runs on ``executor`` and returns a result for each order, in order. Where a batch fails, its orders are
    made one by one, so that an order fails only by its own fault.
    """

    def __init__(
        self,
        make: Callable[[Key, Sequence[Order]], Sequence[Result]],
        executor: Executor,
        *,
        wait_seconds: float,
        largest: int,
        longest: int,
    ) -> None:
        self._make = make
        self._executor = executor
        self._wait_seconds = wait_seconds
        self._largest = largest
        self._longest = longest
        self._waiting: deque[_Ticket[Key, Order, Result]] = deque()
        self._wake = asyncio.Event()
        self._closed: ImprimaturError | None = None
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, key: Key, orders: Sequence[Order]) -> list[Made[Result]]:
        """The results of ``orders``. Raises Unavailable ``queue-full`` where they don't all find room."""
        self._admit(len(orders))
        loop = asyncio.get_running_loop()
        tickets = [_Ticket[Key, Order, Result](key, order, loop.create_future()) for order in orders]
        self._waiting.extend(tickets)
        self._wake.set()
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        try:
            return await asyncio.gather(*(ticket.done for ticket in tickets))
        finally:
            for ticket in tickets:
                ticket.done.cancel()  # what was not begun is not made for nobody

    async def close(self, reason: ImprimaturError) -> None:
        """Refuse what waits with ``reason``, and return once the batch in hand is done."""
        self._closed = reason
        while self._waiting:
            ticket = self._waiting.popleft()
            if not ticket.done.done():
                ticket.done.set_exception(reason)
        self._wake.set()
        if self._worker is not None:
            await self._worker

    def _admit(self, count: int) -> None:
        if self._closed is not None:
            raise self._closed
        if len(self._waiting) + count > self._longest:
            raise Unavailable(
                "queue-full",
                f"{len(self._waiting)} images wait already (room for {self._longest}, asked for {count} more); "
                "try again in a moment",
                retry_after=1,
            )

    async def _work(self) -> None:
        while self._closed is None:
            await self._wake.wait()
            if len(self._waiting) < self._largest:
                await asyncio.sleep(self._wait_seconds)
            batch = self._take()
            if not self._waiting:
                self._wake.clear()
            if batch:
                await self._run(batch)

    def _take(self) -> list[_Ticket[Key, Order, Result]]:
        """The oldest order and those that fit it, up to the largest batch; the others keep their places."""
        living = [ticket for ticket in self._waiting if not ticket.done.done()]
        batch = [ticket for ticket in living if ticket.key == living[0].key][: self._largest]
        taken = {id(ticket) for ticket in batch}
        self._waiting = deque(ticket for ticket in living if id(ticket) not in taken)
        return batch

    async def _run(self, batch: list[_Ticket[Key, Order, Result]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._executor, self._timed, batch)
        except Exception as error:  # handed to whoever asked, never swallowed
            if len(batch) > 1:
                for ticket in batch:
                    await self._run([ticket])
            elif not batch[0].done.done():
                batch[0].done.set_exception(error)
            return
        for ticket, result in zip(batch, made, strict=True):
            if not ticket.done.done():
                ticket.done.set_result(result)

    def _timed(self, batch: list[_Ticket[Key, Order, Result]]) -> list[Made[Result]]:
        begun = time.perf_counter()
        results = self._make(batch[0].key, [ticket.order for ticket in batch])
        share = (time.perf_counter() - begun) / len(batch)
        return [Made(result, share, len(batch)) for result in results]
