"""Joining orders into batches, and keeping them apart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from imprimatur.core.errors import Fault, Forbidden, Unavailable
from imprimatur.serving.batching import Batcher


class Kitchen:
    """Makes upper-case text, remembers its batches, and breaks on the word ``poison``."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[str]]] = []
        self.open = threading.Event()
        self.open.set()
        self.busy = threading.Event()

    def make(self, key: str, orders: Sequence[str]) -> list[str]:
        self.busy.set()
        assert self.open.wait(10)
        self.batches.append((key, list(orders)))
        if "poison" in orders:
            raise Fault("poisoned", "there was poison in it")
        return [order.upper() for order in orders]

    def batcher(self, *, largest: int = 4, longest: int = 100) -> Batcher[str, str, str]:
        return Batcher(self.make, ThreadPoolExecutor(1), wait_seconds=0.02, largest=largest, longest=longest)


async def _results(batcher: Batcher[str, str, str], key: str, *orders: str) -> list[str]:
    return [made.result for made in await batcher.submit(key, orders)]


def test_orders_with_equal_keys_share_a_batch_and_each_gets_its_own_result() -> None:
    kitchen = Kitchen()

    async def run() -> list[list[str]]:
        batcher = kitchen.batcher()
        return await asyncio.gather(*(_results(batcher, "k", order) for order in "abc"))

    assert asyncio.run(run()) == [["A"], ["B"], ["C"]]
    assert kitchen.batches == [("k", ["a", "b", "c"])]


def test_orders_with_other_keys_wait_for_a_batch_of_their_own() -> None:
    kitchen = Kitchen()

    async def run() -> None:
        batcher = kitchen.batcher()
        await asyncio.gather(*(_results(batcher, key, order) for key, order in ("xa", "yb", "xc", "yd")))

    asyncio.run(run())
    assert kitchen.batches == [("x", ["a", "c"]), ("y", ["b", "d"])]


def test_no_batch_is_larger_than_allowed() -> None:
    kitchen = Kitchen()

    async def run() -> list[str]:
        return await _results(kitchen.batcher(largest=4), "k", *"abcdefghij")

    assert asyncio.run(run()) == list("ABCDEFGHIJ")
    assert [len(orders) for _, orders in kitchen.batches] == [4, 4, 2]


def test_an_order_fails_only_by_its_own_fault() -> None:
    kitchen = Kitchen()

    async def run() -> list[object]:
        batcher = kitchen.batcher()
        orders = ("a", "poison", "c")
        return await asyncio.gather(*(_results(batcher, "k", order) for order in orders), return_exceptions=True)

    first, second, third = asyncio.run(run())
    assert (first, third) == (["A"], ["C"])
    assert isinstance(second, Fault)


def test_a_full_queue_refuses_the_whole_request_and_keeps_what_waits() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()

    async def run() -> list[str]:
        batcher = kitchen.batcher(largest=1, longest=2)
        first = asyncio.create_task(_results(batcher, "k", "a"))
        await asyncio.to_thread(kitchen.busy.wait)
        second = asyncio.create_task(_results(batcher, "k", "b"))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable) as refused:
            await batcher.submit("k", ["c", "d"])
        assert refused.value.code == "queue-full"
        kitchen.open.set()
        return [*await first, *await second]

    assert asyncio.run(run()) == ["A", "B"]
    assert [orders for _, orders in kitchen.batches] == [["a"], ["b"]]


def test_what_nobody_waits_for_any_more_is_not_made() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()

    async def run() -> None:
        batcher = kitchen.batcher(largest=1)
        first = asyncio.create_task(_results(batcher, "k", "a"))
        await asyncio.to_thread(kitchen.busy.wait)
        given_up = asyncio.create_task(_results(batcher, "k", "b"))
        last = asyncio.create_task(_results(batcher, "k", "c"))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        kitchen.open.set()
        await asyncio.gather(first, last)

    asyncio.run(run())
    assert [orders for _, orders in kitchen.batches] == [["a"], ["c"]]


def test_a_closed_queue_refuses_what_waits_with_the_reason() -> None:
    kitchen = Kitchen()
    kitchen.open.clear()

    async def run() -> None:
        batcher = kitchen.batcher(largest=1)
        first = asyncio.create_task(_results(batcher, "k", "a"))
        await asyncio.to_thread(kitchen.busy.wait)
        second = asyncio.create_task(_results(batcher, "k", "b"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close(Forbidden("not-released", "taken back")))
        with pytest.raises(Forbidden):
            await second
        kitchen.open.set()
        assert await first == ["A"]
        await closing
        with pytest.raises(Forbidden):
            await batcher.submit("k", ["c"])

    asyncio.run(run())


def test_seconds_are_shared_among_the_images_of_a_batch() -> None:
    kitchen = Kitchen()

    async def run() -> list[tuple[float, int]]:
        return [(made.seconds, made.mates) for made in await kitchen.batcher().submit("k", ["a", "b"])]

    (first, mates), second = asyncio.run(run())
    assert (first, mates) == second
    assert mates == 2
    assert first > 0
