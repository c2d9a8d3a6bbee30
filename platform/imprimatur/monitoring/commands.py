"""``imprimatur monitor``: how good what is served stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from imprimatur.core.client import Client
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table

app = typer.Typer(name="monitor", help="How good what is served stays.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """How good what is served stays."""


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="Name of the model.")],
    environment: Annotated[str, typer.Option(help="Where it is released.")] = "production",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show where a released model stands and the scores of what it served."""
    client = Client.from_settings(Settings())
    document = client.get(f"/monitoring/{quote(model, safe='')}", environment=environment)
    if as_json:
        print_json(document)
        return
    strip = document["strip"]
    version = f"/{strip['version']}" if strip["version"] else ""
    out.print(f"{model}{version} in {environment}: {strip['standing']}", markup=False, highlight=False)
    out.print(strip["reason"], markup=False, highlight=False)
    columns = ("from", "version", "score", "value", "95% interval", "re-scored", "served")
    print_table(f"What {model} served", columns, [_row(score) for score in document["scores"]])


def _row(score: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(score["window_start"])[:16],
        str(score["version"]),
        str(score["name"]),
        f"{score['value']:.3f}",
        f"{score['ci_low']:.3f} to {score['ci_high']:.3f}",
        f"{score['n']} images",
        f"{score['served']} images",
    )
