"""The feed of bundles: nothing that comes back ends it, and a restart does not make it forget what it has seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imprimatur.core.clock import utc_now
from imprimatur.core.signing import SigningKey
from imprimatur.serving.answers import LARGEST
from imprimatur.serving.feed import Feed
from imprimatur.serving.model import Bundle
from imprimatur.serving.serials import Serials
from signed_bundles import BundleServer, bundle_document, serving

DIGEST = "sha256:" + "a" * 64


@dataclass(frozen=True)
class Place:
    """A server that signs bundles, and a home for gateways."""

    server: BundleServer
    address: str
    key: SigningKey
    home: Path

    @property
    def kept(self) -> Path:
        """Where a gateway keeps the highest serial."""
        return self.home / "bundle-serials.json"

    def feed(self, address: str | None = None) -> Feed:
        """What a gateway that has just started pulls with."""
        serials = Serials(self.kept, address or self.address)
        return Feed(address or self.address, self.home / "decision.pub", utc_now, serials, seconds=0.02)

    def put(self, serial: int, **options: Any) -> None:
        """Let the server answer with this bundle."""
        self.server.raw = None
        self.server.document = bundle_document(self.key, [], now=utc_now(), serial=serial, **options)

    def pull(self, feed: Feed, on_bundle: Callable[[Bundle], None] = lambda bundle: None) -> None:
        """Let the feed run until it has used an answer with what the server says now."""
        asyncio.run(self._pull(feed, on_bundle))

    async def _pull(self, feed: Feed, on_bundle: Callable[[Bundle], None]) -> None:
        running = asyncio.create_task(feed.run(on_bundle))
        await asyncio.to_thread(self.server.wait_for_pull)
        assert not running.done()
        running.cancel()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A server whose bundle has the serial 5."""
    key = SigningKey.load_or_create(tmp_path / "decision.pem")
    server = BundleServer()
    with serving(server.app()) as address:
        made = Place(server, address, key, tmp_path)
        made.put(5)
        yield made


def serial_of(feed: Feed) -> int | None:
    """The serial of the bundle that is held."""
    return feed.held.serial if feed.held else None


def problem_of(feed: Feed) -> str | None:
    """The code of what was wrong with the last pull."""
    return feed.problem.code if feed.problem else None


@pytest.mark.parametrize(
    "answer", [b"[" * 200_000, b'{"a":' * 200_000, b"\xff\xff\xff", b"[1]", b"{", b'{"payload": "\\ud800"}']
)
def test_no_answer_ends_the_feed(place: Place, answer: bytes) -> None:
    feed = place.feed()
    place.pull(feed)
    place.server.raw = answer
    place.pull(feed)

    assert (serial_of(feed), problem_of(feed)) == (5, "bad-envelope" if b"payload" in answer else "bad-bundle")

    place.put(6)
    place.pull(feed)
    assert (serial_of(feed), problem_of(feed)) == (6, None)


def test_an_answer_that_goes_on_and_on_is_not_read_to_its_end(place: Place) -> None:
    feed = place.feed()
    place.server.raw = b" " * LARGEST + b"{}"

    place.pull(feed)

    assert (serial_of(feed), problem_of(feed)) == (None, "answer-too-large")


def test_whatever_breaks_here_is_told_and_tried_again(place: Place) -> None:
    feed, broken = place.feed(), [True]

    def take(bundle: Bundle) -> None:
        if broken[0]:
            raise ZeroDivisionError("a defect")

    place.pull(feed, take)
    assert feed.problem is not None
    assert (feed.problem.code, "ZeroDivisionError" in feed.problem.message) == ("pull-broken", True)

    broken[0] = False
    place.pull(feed, take)
    assert (serial_of(feed), problem_of(feed)) == (5, None)


def test_a_restart_does_not_let_an_older_bundle_in(place: Place) -> None:
    place.put(5, revoked=(DIGEST,))
    place.pull(place.feed())
    place.put(4)
    again = place.feed()

    place.pull(again)
    assert (serial_of(again), problem_of(again)) == (None, "bundle-replayed")

    place.put(5, revoked=(DIGEST,))
    place.pull(again)
    assert (serial_of(again), problem_of(again)) == (5, None)


def test_a_running_gateway_remembers_without_the_file(place: Place) -> None:
    feed = place.feed()
    place.pull(feed)
    place.kept.unlink()
    place.put(4)

    place.pull(feed)

    assert (serial_of(feed), problem_of(feed)) == (5, "bundle-replayed")


def test_each_server_counts_for_itself(place: Place) -> None:
    Serials(place.kept, "http://another:8400").take(900)

    feed = place.feed()
    place.pull(feed)

    assert serial_of(feed) == 5
    assert Serials(place.kept, "http://another:8400").highest() == 900
    assert Serials(place.kept, place.address).highest() == 5


def test_a_number_that_was_kept_never_goes_back(place: Place) -> None:
    early, late = (Serials(place.kept, place.address) for _ in range(2))
    late.take(7)
    early.take(6)

    assert early.highest() == 7


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"a": "5"}', b'{"a": true}', b'{"a": -1}', b"[" * 200_000]
)
def test_a_damaged_file_lets_nothing_in_until_somebody_looks(place: Place, content: bytes) -> None:
    place.kept.write_bytes(content)
    feed = place.feed()

    place.pull(feed)
    assert (serial_of(feed), problem_of(feed)) == (None, "bad-bundle-serials")

    place.kept.unlink()
    place.pull(feed)
    assert serial_of(feed) == 5


def test_a_bundle_whose_number_can_not_be_kept_is_not_taken(place: Place) -> None:
    nowhere = Serials(Path("/proc/nowhere/serials.json"), place.address)
    feed = Feed(place.address, place.home / "decision.pub", utc_now, nowhere, seconds=0.02)

    place.pull(feed)

    assert (serial_of(feed), problem_of(feed)) == (None, "serials-unwritable")
