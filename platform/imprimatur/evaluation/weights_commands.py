"""``imprimatur weights``: the catalogue of scoring networks in the home folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from imprimatur.core.digests import short
from imprimatur.core.errors import BadInput
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table
from imprimatur_evaluators.backbones.catalogue import Catalogue, Entry

app = typer.Typer(name="weights", help="Weights of the networks that scores rest on.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="Name of the backbone, e.g. digits-clip.")]


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """What the catalogue holds, with digest, licence and source."""
    entries = _catalogue().entries()
    if as_json:
        print_json({"weights": [_document(entry) for entry in entries]})
        return
    rows = [(e.name, e.architecture, short(e.digest), e.licence, e.source) for e in entries]
    print_table("Weights", ("name", "architecture", "sha256", "licence", "source"), rows)


@app.command(name="import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The weights as one safetensors file.")],
    config: Annotated[Path, typer.Option(help="JSON file with the architecture and its configuration.")],
    licence: Annotated[str, typer.Option(help="Licence of the weights, as an SPDX identifier where there is one.")],
    source: Annotated[str, typer.Option(help="Where the weights come from.")],
    as_json: AsJson = False,
) -> None:
    """Copy weights into the catalogue, for networks that reach nothing else; their digest is kept and checked."""
    entry = _catalogue().add(name, file, _config(config), licence=licence, source=source)
    if as_json:
        print_json(_document(entry))
    else:
        out.print(f"{entry.name} is {entry.digest}", soft_wrap=True)


@app.command()
def verify(name: Name, as_json: AsJson = False) -> None:
    """Read the weights and compare their digest with the catalogue's."""
    entry = _catalogue().verify(name)
    if as_json:
        print_json({**_document(entry), "verified": True})
    else:
        out.print(f"{entry.name} has the digest that it was added with: {entry.digest}", soft_wrap=True)


def _catalogue() -> Catalogue:
    return Catalogue(Settings().weights)


def _config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(
            "bad-config", f"{path} can't be read as JSON (expected a backbone's configuration): {error}"
        ) from error
    if not isinstance(config, dict):
        raise BadInput("bad-config", f"{path} holds {type(config).__name__} (expected an object with 'architecture')")
    return config


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "architecture": entry.architecture,
        "digest": entry.digest,
        "licence": entry.licence,
        "source": entry.source,
        "config": dict(entry.config),
    }
