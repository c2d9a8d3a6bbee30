"""``imprimatur decide|approve|reject|promote|rollback|revoke|history``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from imprimatur.core.client import Client
from imprimatur.core.digests import is_digest, short
from imprimatur.core.errors import BadInput, NotFound
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table
from imprimatur.policy.model import Verdict
from imprimatur.release.model import Answer

app = typer.Typer(help="Decide, approve, release, take back.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(metavar="MODEL/VERSION", help="A version, as in digits/1.")]
Target = Annotated[str, typer.Argument(metavar="DECISION|MODEL/VERSION", help="A decision's id, or a version.")]
Environment = Annotated[str, typer.Option("--to", help="Environment that it is meant for.")]
Reason = Annotated[str, typer.Option(help="Why, in words; others will read it later.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_WORDS = {
    Verdict.ALLOW.value: "[green]meets policy[/]",
    Verdict.DENY.value: "[red]does not meet policy[/]",
    Verdict.UNDECIDED.value: "[yellow]cannot be decided[/]",
}


@app.command()
def decide(version: Version, environment: Environment = "production", as_json: AsJson = False) -> None:
    """Ask the policy in force about a version that was submitted and evaluated."""
    model, number = _named(version)
    asked = {"model": model, "version": number, "environment": environment}
    decision = _client().post("/decisions", asked)
    if as_json:
        print_json(decision)
        return
    rows = [(_WORDS[r["verdict"]], r["id"], escape(r["message"])) for r in decision["results"]]
    print_table(f"Decision {decision['id']} on {version} for {environment}", ("", "rule", "what was found"), rows)
    policy = f"{decision['policy']['name']}/{decision['policy']['version']}"
    lacking = f" {' and '.join(decision['missing'])} still needed." if decision["missing"] else ""
    out.print(f"{version} {_WORDS[decision['verdict']]} {policy}.{lacking}", soft_wrap=True)


@app.command()
def approve(
    target: Target,
    reason: Reason,
    conditions: Annotated[str, typer.Option(help="Conditions of the approval.")] = "",
    environment: Environment = "production",
    as_json: AsJson = False,
) -> None:
    """Approve a decision as somebody who did not submit the version."""
    _answer(target, environment, Answer.APPROVE, reason, conditions, as_json=as_json)


@app.command()
def reject(target: Target, reason: Reason, environment: Environment = "production", as_json: AsJson = False) -> None:
    """Reject a decision; the version can't be released by it any more."""
    _answer(target, environment, Answer.REJECT, reason, "", as_json=as_json)


@app.command()
def promote(
    version: Version,
    environment: Environment,
    expected: Annotated[
        str | None, typer.Option(help="Id of the release that it may replace, or none; anything where left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Release a version to an environment; ends with status 1 and the reasons where that is refused."""
    model, number = _named(version)
    body = {"model": model, "version": number, "environment": environment, "expected": expected}
    _print_release(_client().post("/promotions", body), "stands", as_json=as_json)


@app.command()
def rollback(model: str, reason: Reason, environment: Environment = "production", as_json: AsJson = False) -> None:
    """Bring back the release before, if its decision still holds."""
    body = {"model": model, "environment": environment, "reason": reason}
    _print_release(_client().post("/rollbacks", body), "stands again", as_json=as_json)


@app.command()
def revoke(
    target: Annotated[str, typer.Argument(metavar="DIGEST|MODEL/VERSION", help="A manifest's digest, or a version.")],
    reason: Reason,
    as_json: AsJson = False,
) -> None:
    """Forbid a version's bytes for ever, wherever they stand."""
    client = _client()
    revoked = client.post("/revocations", {"digest": _manifest(client, target), "reason": reason})
    if as_json:
        print_json(revoked)
        return
    out.print(f"{short(revoked['manifest_digest'])} is revoked; gateways stop serving it with their next bundle")


@app.command()
def history(
    model: str,
    at: Annotated[str, typer.Option(help="A moment, as in 2026-11-23T12:00:00Z; all times where left out.")] = "",
    as_json: AsJson = False,
) -> None:
    """What stood where, from when to when."""
    listed = _client().get(f"/models/{model}/history", **({"at": at} if at else {}))
    if as_json:
        print_json(listed)
        return
    columns = ("version", "environment", "from", "by", "until", "why it ended", "release")
    print_table(f"Releases of {model}", columns, [_line(release) for release in listed["releases"]])


def _client() -> Client:
    return Client.from_settings(Settings())


def _answer(target: str, environment: str, answer: Answer, reason: str, conditions: str, *, as_json: bool) -> None:
    client = _client()
    decision = _decision_id(client, target, environment)
    body = {"answer": answer.value, "reason": reason, "conditions": conditions}
    given = client.post(f"/decisions/{decision}/approvals", body)
    if as_json:
        print_json(given)
        return
    lacking = client.get(f"/decisions/{decision}")["missing"]
    then = f"; {' and '.join(lacking)} still needed" if lacking else ""
    out.print(f"{given['person']} answered {answer.value} as {given['role']}{then}", soft_wrap=True)


def _decision_id(client: Client, target: str, environment: str) -> str:
    if "/" not in target:
        return target
    model, number = _named(target)
    found = client.get("/decisions", model=model, version=number, environment=environment)["decisions"]
    if not found:
        raise NotFound("no-decision", f"Nobody asked the policy about {target} for {environment} yet; decide it first")
    return str(found[0]["id"])


def _manifest(client: Client, target: str) -> str:
    if is_digest(target):
        return target
    model, number = _named(target)
    digest = client.get(f"/models/{model}/versions/{number}").get("manifest_digest")
    if digest is None:
        raise NotFound("not-sealed", f"{target} is not sealed (expected sealed bytes), so there is nothing to revoke")
    return str(digest)


def _print_release(release: Mapping[str, Any], words: str, *, as_json: bool) -> None:
    if as_json:
        print_json(release)
        return
    label = f"{release['model']}/{release['version']}"
    out.print(f"{label} {words} in {release['environment']} (release {release['id']})", soft_wrap=True)


def _line(release: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(release["version"]),
        release["environment"],
        release["released_at"][:16].replace("T", " "),
        release["released_by"],
        release["ended_at"][:16].replace("T", " ") if release["ended_at"] else "now",
        escape(release["ended_reason"] or ""),
        release["id"],
    )


def _named(version: str) -> tuple[str, int]:
    model, slash, number = version.rpartition("/")
    if not slash or not model or not number.isascii() or not number.isdecimal():
        raise BadInput("bad-name", f"{version!r} names no version (expected MODEL/VERSION, as in digits/1)")
    return model, int(number)
