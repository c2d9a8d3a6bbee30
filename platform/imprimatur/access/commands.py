"""``imprimatur access``: people, programs and their tokens."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from imprimatur.access.model import Role
from imprimatur.core.client import Client
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table

app = typer.Typer(name="access", help="People, programs and their tokens.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="Name of the person or program.")]


@app.command()
def add(
    name: Name,
    role: Annotated[list[Role], typer.Option(help="A role; may be given several times.")],
    team: Annotated[str, typer.Option(help="Who pays.")],
    as_json: Json = False,
) -> None:
    """Add a person or a program."""
    roles = [each.value for each in role]
    added = Client.from_settings(Settings()).post("/principals", {"name": name, "roles": roles, "team": team})
    if as_json:
        print_json(added)
    else:
        out.print(f"Added {added['name']} ({', '.join(added['roles'])}) to {added['team']}.")


@app.command("list")
def list_principals(as_json: Json = False) -> None:
    """Show everybody."""
    document = Client.from_settings(Settings()).get("/principals")
    if as_json:
        print_json(document)
    else:
        rows = [(p["name"], ", ".join(p["roles"]), p["team"]) for p in document["principals"]]
        print_table("Principals", ("name", "roles", "team"), rows)


@app.command()
def token(
    name: Name,
    label: Annotated[str, typer.Option(help="What the token is for.")],
    days: Annotated[int, typer.Option(help="Days until it expires.")] = 90,
    as_json: Json = False,
) -> None:
    """Make an access token and print it, this once."""
    path = f"/principals/{quote(name, safe='')}/tokens"
    made = Client.from_settings(Settings()).post(path, {"label": label, "days": days})
    if as_json:
        print_json(made)
    else:
        out.print(made["token"], soft_wrap=True, markup=False, highlight=False)


@app.command()
def revoke(name: Name, as_json: Json = False) -> None:
    """End every token and session of a person or program."""
    ended = Client.from_settings(Settings()).post(f"/principals/{quote(name, safe='')}/revocation")
    if as_json:
        print_json(ended)
    else:
        out.print(f"Ended {ended['tokens']} tokens of {ended['principal']}.")
