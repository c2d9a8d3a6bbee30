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
from imprimatur.core.terminal import out, print_json, print_table, progress
from imprimatur_evaluators.backbones.catalogue import Catalogue, Entry
from imprimatur_evaluators.backbones.fetching import fetch as fetch_weights
from imprimatur_evaluators.backbones.fetching import import_published
from imprimatur_evaluators.backbones.publication import OPEN_CLIP, Published
from imprimatur_evaluators.backbones.published import PUBLISHED, SHORT_NAMES

app = typer.Typer(name="weights", help="Weights of the networks that scores rest on.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="Name of the backbone, e.g. inception-2015 or open_clip:ViT-B-32/openai.")]

_ORIGINS = {
    "published": "as published",
    "first-fetch": "recorded at the first fetch, since none is published",
    "import": "recorded when the file was imported",
}


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """What is in the catalogue, and what else is known and could be fetched: digest, licence, source."""
    entries = _catalogue().entries()
    here = {entry.name for entry in entries}
    others = [known for name, known in PUBLISHED.items() if name not in here]
    short_names = {name: own for name, own in SHORT_NAMES.items() if name not in here}
    if as_json:
        print_json(
            {
                "weights": [_document(entry) for entry in entries],
                "known": [_known(known) for known in others]
                + [{"name": name, "architecture": "open-clip", "source": own} for name, own in short_names.items()],
            }
        )
        return
    rows = [(e.name, short(e.digest), str(e.digest_origin), e.licence, e.source) for e in entries]
    print_table("Weights in the catalogue", ("name", "sha256", "vouched for by", "licence", "source"), rows)
    known_rows = [(k.name, short(k.digest) if k.digest else "-", k.licence, k.source) for k in others]
    known_rows += [(name, "-", "MIT", own) for name, own in short_names.items()]
    print_table("Known, to be fetched", ("name", "published sha256", "licence", "source"), known_rows)


@app.command()
def fetch(
    name: Name,
    again: Annotated[bool, typer.Option("--again", help="Download even what is there; it must be the same.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download known weights; the published digest is checked, and where there is none the first is recorded."""
    with progress() as bars:
        bar = bars.add_task(name, total=None)
        entry = fetch_weights(
            name,
            _catalogue(),
            again=again,
            progress=lambda done, whole: bars.update(bar, completed=done, total=whole),
        )
    _tell(entry, as_json=as_json)


@app.command(name="import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="The weights as one file, or for known names the folder that holds it.")],
    config: Annotated[Path | None, typer.Option(help="JSON file with the architecture and its configuration.")] = None,
    licence: Annotated[str | None, typer.Option(help="Licence, as an SPDX identifier where there is one.")] = None,
    source: Annotated[str | None, typer.Option(help="Where the weights come from.")] = None,
    as_json: AsJson = False,
) -> None:
    """Copy weights into the catalogue, for networks that reach nothing else.

    Known weights need a name and a file, and must have the published digest where there is one. Weights of your own
    need --config, --licence and --source.
    """
    if config is None:
        _no_more_than_the_name(licence, source)
        entry = import_published(name, file, _catalogue())
    else:
        entry = _own(name, file, config, licence, source)
    _tell(entry, as_json=as_json)


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


def _own(name: str, file: Path, config: Path, licence: str | None, source: str | None) -> Entry:
    if name in PUBLISHED or name in SHORT_NAMES or name.startswith(OPEN_CLIP):
        raise BadInput(
            "reserved-name",
            f"'{name}' is the name of published weights, which scores with published names rest on; give yours another",
        )
    if licence is None or source is None:
        raise BadInput(
            "no-provenance", f"weights of your own need a licence and a source (add --licence and --source to '{name}')"
        )
    return _catalogue().add(name, file, _config(config), licence=licence, source=source)


def _no_more_than_the_name(licence: str | None, source: str | None) -> None:
    if licence is not None or source is not None:
        raise BadInput(
            "no-config", "known weights have their own licence and source; for weights of your own add --config"
        )


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


def _tell(entry: Entry, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(entry))
    else:
        out.print(f"{entry.name} is {entry.digest}, {_ORIGINS[entry.digest_origin]}", soft_wrap=True)


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "architecture": entry.architecture,
        "digest": entry.digest,
        "digest_origin": entry.digest_origin.value,
        "format": entry.format.value,
        "licence": entry.licence,
        "source": entry.source,
        "config": dict(entry.config),
    }


def _known(known: Published) -> dict[str, Any]:
    return {
        "name": known.name,
        "architecture": known.architecture,
        "published_digest": known.digest,
        "licence": known.licence,
        "source": known.source,
        "addresses": list(known.addresses),
    }
