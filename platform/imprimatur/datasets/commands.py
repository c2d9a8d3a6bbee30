"""``imprimatur dataset add|list|validate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from imprimatur.core.client import Client
from imprimatur.core.digests import short
from imprimatur.core.errors import BadInput, Refused
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table
from imprimatur.datasets.model import DatasetKind, kind_of
from imprimatur.datasets.parquet import build_from_folder

app = typer.Typer(name="dataset", help="Prompt sets, reference sets and protected works.", no_args_is_help=True)

Kind = Annotated[str, typer.Option(help="prompts, reference, calibration, training or protected.")]
Folder = Annotated[Path | None, typer.Option(help="Folder of images to build the dataset from.", file_okay=False)]
File = Annotated[Path | None, typer.Option(help="Parquet file that is already built.", dir_okay=False)]
Captions = Annotated[
    Path | None,
    typer.Option(help="CSV with a column file (relative to the folder) and label, caption, title, owner ..."),
]
Labels = Annotated[str, typer.Option(help="The closed set of labels, separated by commas.")]
Licence = Annotated[str, typer.Option(help="Licence that the data stands under, e.g. CC-BY-4.0.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def add(
    name: str,
    kind: Kind,
    licence: Licence,
    owner: Annotated[str, typer.Option(help="Who owns the data.")],
    source: Annotated[str, typer.Option(help="Where the data comes from.")],
    images: Folder = None,
    file: File = None,
    captions: Captions = None,
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Add a dataset from a folder of images or from a Parquet file."""
    common = {"owner": owner, "licence": licence, "source": source}
    data = _data(kind_of(kind), images, file, captions, labels, common)
    client = Client.from_settings(Settings())
    added = client.upload("/datasets", data, name=name, kind=kind, owner=owner, licence=licence, source=source)
    if as_json:
        print_json(added)
        return
    out.print(f"{added['name']}: {added['rows']:,} rows, {short(added['digest'])}", highlight=False)
    _print_validation(added["validation"])


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the datasets, newest first."""
    listed = Client.from_settings(Settings()).get("/datasets")
    if as_json:
        print_json(listed)
        return
    columns = ("name", "kind", "rows", "owner", "licence", "digest", "expectations")
    print_table("Datasets", columns, [_line(dataset) for dataset in listed["datasets"]])


@app.command()
def validate(
    kind: Kind,
    licence: Licence = "",
    images: Folder = None,
    file: File = None,
    captions: Captions = None,
    labels: Labels = "",
    as_json: AsJson = False,
) -> None:
    """Validate a dataset on this machine without adding it; ends with status 1 where an expectation fails."""
    from imprimatur.datasets.expectations import validate as check
    from imprimatur.datasets.parquet import read_table

    known = kind_of(kind)
    data = _data(known, images, file, captions, labels, {"licence": licence})
    validation = check(read_table(data, known), known, licence=licence)
    if as_json:
        print_json(validation)
    else:
        _print_validation(validation)
    if not validation["passed"]:
        raise typer.Exit(Refused.exit_status)


def _data(
    kind: DatasetKind,
    images: Path | None,
    file: Path | None,
    captions: Path | None,
    labels: str,
    common: Mapping[str, str],
) -> bytes:
    if (images is None) == (file is None):
        raise BadInput("bad-usage", "Give either --images DIR or --file FILE.parquet (got both or neither)")
    if images is not None:
        allowed: Sequence[str] | None = [label.strip() for label in labels.split(",")] if labels else None
        return build_from_folder(images, kind, captions=captions, common=common, labels=allowed)
    assert file is not None  # noqa: S101 -- exactly one of the two is given
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput("no-such-file", f"{file} can't be read: {error}") from error


def _line(dataset: Mapping[str, Any]) -> tuple[str, ...]:
    results = dataset["validation"]["expectations"]
    passed = sum(result["passed"] for result in results)
    return (
        dataset["name"],
        dataset["kind"],
        f"{dataset['rows']:,}",
        dataset["owner"],
        dataset["licence"] or "not stated",
        short(dataset["digest"]),
        f"{passed} of {len(results)} hold",
    )


def _print_validation(validation: Mapping[str, Any]) -> None:
    rows = [
        ("holds" if result["passed"] else "FAILS", result["title"], result["found"])
        for result in validation["expectations"]
    ]
    print_table("Expectations", ("", "expected", "found"), rows)
