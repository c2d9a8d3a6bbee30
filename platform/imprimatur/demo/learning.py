"""The training process: started, followed line by line, and what it reported at its end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from rich.progress import Progress, TaskID

from imprimatur.core.errors import Fault

_TAIL = 20


def train(arguments: list[str], environment: Mapping[str, str], bars: Progress, log: Path) -> dict[str, Any]:
    """Run ``imprimatur.demo.train`` in a process of its own, a bar for each step, and return its final document.

    The process ends before anything is evaluated, so that its memory is free again. Raises Fault ``training-failed``
    with the end of what it printed.
    """
    with subprocess.Popen(  # noqa: S603  our own module and our own words
        [sys.executable, "-m", "imprimatur.demo.train", *arguments],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        said: list[str] = []
        reader = Thread(target=lambda: said.extend(child.stdout or ()))
        reader.start()
        printed = _follow(child.stderr or (), bars)
        reader.join()
    log.write_text("\n".join(printed) + "\n")
    if child.returncode != 0:
        raise Fault(
            "training-failed", f"Training ended with status {child.returncode}:\n" + "\n".join(printed[-_TAIL:])
        )
    return dict(json.loads("".join(said)))


def _follow(stream: Iterable[str], bars: Progress) -> list[str]:
    """Move the bars by the events in ``stream``; give back the lines that are no events."""
    tasks: dict[str, TaskID] = {}
    printed: list[str] = []
    for line in stream:
        event = _event(line)
        if event is None:
            printed.append(line.rstrip())
            continue
        name = str(event["step"])
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=int(event["total"]))
        bars.update(tasks[name], completed=int(event["done"]))
    return printed


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and {"step", "done", "total"} <= event.keys() else None
