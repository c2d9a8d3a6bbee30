"""``imprimatur cost``: what everything cost."""

from __future__ import annotations

from typing import Annotated

import typer

from imprimatur.core.client import Client
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import print_json, print_table

app = typer.Typer(name="cost", help="What training, evaluation and serving cost.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """What training, evaluation and serving cost."""


@app.command()
def report(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Show the cost of every model by kind of work."""
    document = Client.from_settings(Settings()).get("/costs")
    if as_json:
        print_json(document)
        return
    rows = [
        (t["model"], t["kind"], f"{t['amount']:.4f} {t['currency']}", f"{t['seconds']:.1f} s", str(t["images"]))
        for t in document["totals"]
    ]
    print_table("Cost by model and kind", ("model", "kind", "amount", "machine time", "images"), rows)
