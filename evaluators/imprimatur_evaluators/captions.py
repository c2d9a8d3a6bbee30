"""Which prompt each image was made for, read from a file beside the images. No torch here."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imprimatur_evaluators.errors import BadRequest


def read_captions(path: Path, names: Sequence[str]) -> list[str]:
    """The prompt of each of ``names``, in their order.

    The file is JSON (an object of names to prompts), JSON Lines or CSV (columns ``name`` and ``prompt``). Every name
    needs exactly one prompt. BadRequest 'bad-prompts' says what is wrong, 'prompts-do-not-fit' which name is missing.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadRequest("bad-prompts", f"{path} ends in none of {', '.join(sorted(_READERS))}; rename or convert it")
    try:
        prompts = reader(path)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise BadRequest(
            "bad-prompts", f"{path} can't be read as {path.suffix} with a name and a prompt for each image: {error!r}"
        ) from error
    missing = [name for name in names if name not in prompts]
    if missing:
        raise BadRequest(
            "prompts-do-not-fit",
            f"{path} has no prompt for {len(missing)} of {len(names)} images, the first of them {missing[0]}",
        )
    return [prompts[name] for name in names]


def _json(path: Path) -> Mapping[str, str]:
    found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_Pairs)
    if not isinstance(found, _Pairs):
        raise TypeError(f"got {type(found).__name__} (expected an object of names to prompts)")
    return _paired(found.items)


def _json_lines(path: Path) -> Mapping[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return _paired([(row["name"], row["prompt"]) for row in rows])


def _csv(path: Path) -> Mapping[str, str]:
    with path.open(encoding="utf-8", newline="") as opened:
        return _paired([(row["name"], row["prompt"]) for row in csv.DictReader(opened)])


class _Pairs:
    """A JSON object with its names as often as they stand there."""

    def __init__(self, items: Sequence[tuple[str, Any]]) -> None:
        self.items = items


def _paired(rows: Sequence[tuple[Any, Any]]) -> dict[str, str]:
    prompts: dict[str, str] = {}
    for name, prompt in rows:
        if not isinstance(name, str) or not isinstance(prompt, str):
            raise ValueError(f"got {name!r} and {prompt!r} (expected texts)")
        if name in prompts:
            raise ValueError(f"{name} has two prompts")
        prompts[name] = prompt
    return prompts


_READERS: Mapping[str, Callable[[Path], Mapping[str, str]]] = {".json": _json, ".jsonl": _json_lines, ".csv": _csv}
