"""JSON read so that no two programs can read it differently: UTF-8, no duplicate keys, no NaN, bounded."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, NoReturn

_MARKS = (b",", b":", b"[", b"{")


def parse(data: bytes, *, limit: int, marks: int = 200_000) -> Any:
    """The document in ``data``. Raises ValueError, saying what is wrong with it.

    ``limit`` bounds its bytes; ``marks`` bounds its commas, colons and opening brackets, and so the memory that its
    values take.

    >>> parse(b'{"a": 1, "a": 2}', limit=100)
    Traceback (most recent call last):
    ...
    ValueError: the key 'a' stands there twice
    """
    if len(data) > limit:
        raise ValueError(f"{len(data)} bytes, at most {limit} allowed")
    if sum(map(data.count, _MARKS)) > marks:
        raise ValueError("more values than any real file has")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"no UTF-8 text at byte {error.start}") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key {name!r} stands there twice")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
