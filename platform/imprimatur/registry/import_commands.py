"""``imprimatur mlflow import``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.markup import escape

from imprimatur.core.client import Client
from imprimatur.core.errors import BadInput, Refused
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table, progress
from imprimatur.registry import environment
from imprimatur.registry.importing.address import Address
from imprimatur.registry.importing.model import APPROVED_ALIASES, Outcome, Tally, VersionReport
from imprimatur.registry.importing.source import Source
from imprimatur.registry.importing.target import Target
from imprimatur.registry.importing.transfer import Plan, Transfer

app = typer.Typer(name="mlflow", help="Come from another MLflow.", no_args_is_help=True)


@app.callback()
def mlflow() -> None:
    """Come from another MLflow."""


@app.command(name="import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Tracking server's address, or database URI; it is only read.")
    ],
    experiment: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take this experiment's runs; again for more.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Take this model's versions and their runs; again for more."),
    ] = None,
    approved_alias: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"Alias that meant approval there; by default {', '.join(APPROVED_ALIASES)}."
        ),
    ] = None,
    known_as: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the source in earlier imports, where its address is a new one.")
    ] = "",
    seal: Annotated[bool, typer.Option("--seal", help="Seal each version as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Take experiments, runs, models and versions over from another MLflow; run it again for what is new.

    Without names everything is taken. The source is asked with MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD; our server with IMPRIMATUR_TOKEN. Versions come with what they were (approved before
    Imprimatur, or not yet evaluated), which releases nothing.
    """
    address = Address.parse(source)
    name = known_as or address.name
    settings = Settings()
    plan = Plan(
        experiments=tuple(experiment or ()),
        models=tuple(model or ()),
        approved=tuple(approved_alias or APPROVED_ALIASES),
        environments=settings.environments,
        seal=seal,
    )
    tally = _transfer(address, name, settings, plan)
    if as_json:
        print_json(tally.document(name))
    else:
        _print(tally)
    if tally.failed:
        raise typer.Exit(Refused.exit_status)


def _transfer(address: Address, name: str, settings: Settings, plan: Plan) -> Tally:
    environment.configure_import()
    client = Client.from_settings(settings)
    if address.is_server and Address.parse(client.address).name == address.name:
        raise BadInput("same-server", f"{address.name} is this server itself (expected another MLflow)")
    target = Target(client, settings.token, name)
    target.known_runs([])  # who may not import is told before anything is read
    with TemporaryDirectory() as scratch, progress() as bars:
        tasks = {kind: bars.add_task(kind, total=None) for kind in ("runs", "versions")}
        return Transfer(
            Source(address, name, Path(scratch)), target, plan, lambda kind: bars.advance(tasks[kind])
        ).run()


def _print(tally: Tally) -> None:
    counts = Counter(version.outcome for version in tally.versions)
    runs = f"{tally.runs_imported} imported, {tally.runs_known} already there"
    versions = ", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome if counts[outcome])
    said = f"{tally.experiments} experiments; runs: {runs}; versions: {versions or 'none'}"
    out.print(said, highlight=False, soft_wrap=True)
    noted = [version for version in tally.versions if version.code or version.left_out]
    if noted:
        print_table("Versions to look at", ("version", "imported as", "outcome", "why"), [_line(v) for v in noted])
    if tally.failures:
        rows = [(escape(failure.name), failure.code, escape(failure.message)) for failure in tally.failures]
        print_table("Not taken", ("what", "code", "why"), rows)


def _line(version: VersionReport) -> tuple[str, str, str, str]:
    why = [f"{version.code}: {version.message}"] if version.code else []
    why += [f"not copied: {left}" for left in version.left_out]
    return (
        escape(version.source),
        escape(version.imported_as or ""),
        version.outcome.value,
        escape("\n".join(why)),
    )
