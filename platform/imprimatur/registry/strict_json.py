"""JSON read so that no two programs can read it differently: whole characters, no duplicate keys, no NaN, bounded."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection
from typing import Any

_MARKS = (b",", b":", b"[", b"{")
_LOWEST = "-Infinity"
_HALVES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(?P<half>\\u[dD][89a-fA-F]..)")  # pairs go first


def parse(data: bytes, *, limit: int, marks: int = 200_000, boundless: Collection[str] = ()) -> Any:
    """The document in ``data``. Raises ValueError, saying what is wrong with it.

    ``limit`` bounds its bytes; ``marks`` bounds its commas, colons and opening brackets, and so the memory that its
    values take. Members with a name in ``boundless`` may be ``-Infinity``, as diffusers writes "no lower bound".

    >>> parse(b'{"a": 1, "a": 2}', limit=100)
    Traceback (most recent call last):
    ...
    ValueError: the key 'a' stands there twice
    >>> parse(rb'["\\\\ud800 \\ud83d\\ude00"]', limit=100)
    ['\\\\ud800 😀']
    >>> parse(b'{"clip": -Infinity}', limit=100, boundless=["clip"])
    {'clip': -inf}
    """
    if len(data) > limit:
        raise ValueError(f"{len(data)} bytes, at most {limit} allowed")
    if sum(map(data.count, _MARKS)) > marks:
        raise ValueError("more values than any real file has")
    _check_characters(data)
    try:
        return _Reader(boundless).read(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 text at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


class _Reader:
    """Reads one document and counts the numbers without a bound: met anywhere, and met where they may stand."""

    def __init__(self, boundless: Collection[str]) -> None:
        self._boundless = boundless
        self._met = 0
        self._placed = 0

    def read(self, text: str) -> Any:
        found = json.loads(text, object_pairs_hook=self._object, parse_constant=self._constant, parse_float=_finite)
        if self._met != self._placed:
            raise ValueError(f"{_LOWEST} is no JSON")
        return found

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
            raise ValueError(f"the key {name!r} stands there twice")
        self._placed += sum(found.get(name) == -math.inf for name in self._boundless)
        return found

    def _constant(self, text: str) -> float:
        if text != _LOWEST or not self._boundless:
            raise ValueError(f"{text} is no JSON")
        self._met += 1
        return -math.inf


def _check_characters(data: bytes) -> None:
    """Raise ValueError where the JSON ``data`` escapes one half of a surrogate pair, which UTF-8 can't write."""
    escapes = data.replace(b"\\\\", b" ")  # backslashes that are meant begin nothing
    half = next((match["half"] for match in _HALVES.finditer(escapes) if match["half"]), None)
    if half:
        raise ValueError(f"{half.decode('utf-8', 'replace')} is half a character")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
