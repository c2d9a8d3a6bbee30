"""``imprimatur report``: the evaluation report of a version."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from imprimatur.core.client import Client
from imprimatur.core.errors import BadInput
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import err, print_json
from imprimatur.reports.routes import Format

app = typer.Typer(add_completion=False)


@app.command()
def report(
    version: Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="The version, e.g. digits/1.")],
    form: Annotated[Format, typer.Option("--format", help="Form of the report.")] = Format.MARKDOWN,
    output: Annotated[Path | None, typer.Option(help="File to write it to; standard output otherwise.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write the evaluation report of MODEL/VERSION as JSON, Markdown or one HTML file."""
    path = _path(version)
    client = Client.from_settings(Settings())
    if as_json:
        print_json(client.get(path))
        return
    text = client.text(path, format=form.value)
    if output is None:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        return
    output.write_text(text)
    err.print(f"Wrote {output}", highlight=False)


def _path(version: str) -> str:
    model, _, number = version.rpartition("/")
    if not model or not number.isascii() or not number.isdecimal():
        raise BadInput("bad-usage", f"{version!r} names no version (expected MODEL/VERSION, e.g. digits/1)")
    return f"/models/{quote(model, safe='')}/versions/{int(number)}/report"
