"""``imprimatur evaluate MODEL/VERSION --suite S``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import TaskID

from imprimatur.core.client import Client
from imprimatur.core.errors import BadInput, Fault
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import err, out, print_json, print_table, progress
from imprimatur.evaluation.model import Status

_POLL_SECONDS = 0.5
_YAML = frozenset({".yaml", ".yml"})

app = typer.Typer(add_completion=False)


@app.command()
def evaluate(
    subject: Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="A sealed version, e.g. digits/1.")],
    suite: Annotated[str, typer.Option(help="Name of a suite (NAME or NAME@VERSION), or a YAML file with one.")],
    seed: Annotated[int, typer.Option(help="Seed that every image's own seed is derived from.")] = 0,
    wait: Annotated[bool, typer.Option(help="Wait for the scores, with a progress bar.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Measure a sealed version: generate images, score them, and keep the evidence."""
    model, version = _subject(subject)
    client = Client.from_settings(Settings())
    name = _suite(client, suite)
    run = client.post("/evaluations", {"model": model, "version": version, "suite": name, "seed": seed})
    if wait:
        run = wait_for(client, run)
    if as_json:
        print_json(run)
    else:
        _print(subject, run)


def wait_for(client: Client, run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The run once it is complete, followed by a bar on standard error. Raises Fault ``evaluation-failed``."""
    with progress() as bars:
        task = bars.add_task(_stage(run), total=run["total"])
        while run["status"] in (Status.QUEUED, Status.RUNNING):
            time.sleep(_POLL_SECONDS)
            run = client.get(f"/evaluations/{run['id']}")
            bars.update(TaskID(task), description=_stage(run), completed=run["done"])
    if run["status"] == Status.FAILED:
        raise Fault("evaluation-failed", f"{run['id']} failed: {run['error']}", evaluation=run["id"])
    return run


def _subject(subject: str) -> tuple[str, int]:
    model, _, version = subject.rpartition("/")
    if not model or not version.isdecimal():
        raise BadInput("bad-usage", f"Got {subject!r} (expected MODEL/VERSION, e.g. digits/1)")
    return model, int(version)


def _suite(client: Client, suite: str) -> str:
    path = Path(suite)
    if path.suffix.lower() not in _YAML:
        return suite
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("bad-suite", f"{path} can't be read as text: {error}") from error
    added = client.post("/suites", {"text": text})
    return f"{added['name']}@{added['version']}"


def _stage(run: Mapping[str, Any]) -> str:
    if run["status"] == Status.QUEUED:
        return "Waiting for a worker" if run["workers"] else "No worker is running: start `imprimatur worker`"
    return "Scoring" if run["done"] >= run["total"] else "Generating"


def _print(subject: str, run: Mapping[str, Any]) -> None:
    if run["status"] != Status.COMPLETE:
        err.print(f"{run['id']} is {run['status']}; follow it with `imprimatur evaluate {subject} --wait`")
        return
    rows = [
        (
            score["name"],
            f"{score['value']:.4g}",
            f"{score['ci_low']:.4g} to {score['ci_high']:.4g}",
            f"{score['n']:,}",
            f"{score['direction']} is better",
        )
        for score in run["scores"]
    ]
    print_table(f"{subject}: {run['suite']}, seed {run['seed']}", ("score", "value", "95% interval", "n", ""), rows)
    out.print(f"{run['id']}: {run['total']:,} images in {run['seconds']:.0f} s on {run['device']}", highlight=False)
