"""``imprimatur policy lint|test|apply|approve|show``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from imprimatur.core.client import Client
from imprimatur.core.digests import short
from imprimatur.core.errors import BadInput
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table
from imprimatur.policy.cases import require_passed, run_cases
from imprimatur.policy.document import parse
from imprimatur.policy.engine import shared_engine
from imprimatur.policy.model import Policy
from imprimatur.policy.routes import summary

app = typer.Typer(name="policy", help="What a version must show before it may be released.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="Policy document (YAML).", dir_okay=False)]
Name = Annotated[str, typer.Argument(help="NAME/VERSION of a policy.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def lint(file: File, as_json: AsJson = False) -> None:
    """Read a policy and compile its rules on this machine; nothing is sent."""
    policy = _linted(file)
    if as_json:
        print_json(summary(policy))
        return
    out.print(f"{policy.label}: {len(policy.rules)} rules, {len(policy.tests)} tests, {short(policy.digest)}")


@app.command(name="test")
def run_tests(file: File, as_json: AsJson = False) -> None:
    """Run the tests that a policy carries on this machine; ends with status 2 where one fails."""
    policy = _linted(file)
    results = run_cases(shared_engine(), policy)
    if as_json and all(result.passed for result in results):
        print_json({"policy": policy.label, "tests": [result.document() for result in results]})
    elif not as_json:
        rows = [("passes" if r.passed else "FAILS", r.name, "; ".join(r.differences)) for r in results]
        print_table(f"Tests of {policy.label}", ("", "test", "what came instead"), rows)
    require_passed(results)


@app.command()
def apply(file: File, as_json: AsJson = False) -> None:
    """Send a policy to the server; it comes into force when a second person approves it."""
    applied = Client.from_settings(Settings()).post("/policies", {"text": _text(file)})
    if as_json:
        print_json(applied)
        return
    label = f"{applied['name']}/{applied['version']}"
    out.print(f"{label} is applied. A second person puts it in force: imprimatur policy approve {label}")


@app.command()
def approve(policy: Name, as_json: AsJson = False) -> None:
    """Put a policy in force as a second person."""
    name, version = _named(policy)
    approved = Client.from_settings(Settings()).post(f"/policies/{name}/{version}/approve")
    if as_json:
        print_json(approved)
        return
    out.print(f"{policy} is in force in {approved['environment']}")


@app.command()
def show(
    policy: Annotated[str, typer.Argument(help="NAME/VERSION; all where left out.")] = "", as_json: AsJson = False
) -> None:
    """List the policies, or show one with its rules."""
    client = Client.from_settings(Settings())
    if policy:
        name, version = _named(policy)
        _show_one(client.get(f"/policies/{name}/{version}"), as_json=as_json)
        return
    listed = client.get("/policies")
    if as_json:
        print_json(listed)
        return
    columns = ("policy", "environment", "rules", "applied by", "approved by", "digest")
    print_table("Policies", columns, [_line(entry) for entry in listed["policies"]])


def _show_one(document: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    title = f"{document['name']}/{document['version']} for {document['environment']}"
    print_table(title, ("rule", "says", "about"), [(r["id"], r["expr"], r["title"]) for r in document["rules"]])


def _line(entry: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{entry['name']}/{entry['version']}",
        entry["environment"],
        str(len(entry["rules"])),
        entry["applied_by"],
        entry["approved_by"] or "nobody yet",
        short(entry["digest"]),
    )


def _linted(file: Path) -> Policy:
    policy = parse(_text(file))
    shared_engine().check(policy)
    return policy


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput("no-such-file", f"{file} can't be read as text: {error} (expected a YAML document)") from error


def _named(policy: str) -> tuple[str, int]:
    name, slash, version = policy.rpartition("/")
    if not slash or not version.isascii() or not version.isdecimal():
        raise BadInput("bad-name", f"{policy!r} names no policy (expected NAME/VERSION, as in digits-production/1)")
    return name, int(version)
