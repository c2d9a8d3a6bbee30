"""``imprimatur demo``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.markup import escape

from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json, print_table, progress
from imprimatur.demo.model import Outcome, Result
from imprimatur.demo.scale import FULL, SMALL

app = typer.Typer(add_completion=False)

_WORDS = {"allow": "meets policy", "deny": "does not meet policy", "undecided": "cannot be decided"}


@app.command()
def demo(
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    small: Annotated[bool, typer.Option(help="Fewer training steps and images; the same verdicts.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train, register, evaluate, gate and serve a model of real handwritten digits, on this machine alone."""
    from imprimatur.demo.service import run

    settings = Settings()
    with progress() as bars:
        result = run(settings, seed=seed, scale=SMALL if small else FULL, bars=bars)
    if json:
        print_json(result.document())
    else:
        _show(result, settings)
    result.require_success()


def _show(result: Result, settings: Settings) -> None:
    columns = ("", *(f"version {outcome.version}" for outcome in result.outcomes))
    print_table("Three versions of digits: scores with their 95% intervals", columns, _rows(result.outcomes))
    print_table(
        "Ways around that were tried",
        ("via", "version", "status", "code", "answer"),
        [(r.via, str(r.version), str(r.status), r.code, escape(r.message)) for r in result.refusals],
    )
    out.print(f"Ten served digits: {result.contact_sheet}", soft_wrap=True)
    out.print(
        f"Where to look next: [bold]IMPRIMATUR_HOME={settings.home} imprimatur up[/] opens the pages of this home; "
        f"docs/architecture.md explains the line.",
        soft_wrap=True,
    )


def _rows(outcomes: Sequence[Outcome]) -> list[tuple[str, ...]]:
    scores = [(name, *(_score(outcome, name) for outcome in outcomes)) for name in sorted(outcomes[0].scores)]
    return [
        *scores,
        ("verdict", *(_WORDS[outcome.verdict] for outcome in outcomes)),
        ("reasons", *("\n".join(outcome.reasons) or "none" for outcome in outcomes)),
        ("stands in", *("\n".join(outcome.environments) or "nowhere" for outcome in outcomes)),
        ("cost", *(_cost(outcome) for outcome in outcomes)),
    ]


def _score(outcome: Outcome, name: str) -> str:
    score = outcome.scores[name]
    return f"{score['value']:.3f} ({score['ci_low']:.3f} to {score['ci_high']:.3f})"


def _cost(outcome: Outcome) -> str:
    parts = [f"{kind} {amount:.4f}" for kind, amount in sorted(outcome.cost.items())]
    return "\n".join([*parts, f"{sum(outcome.cost.values()):.4f} {outcome.currency} in all"])
