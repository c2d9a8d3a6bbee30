"""The ``imprimatur`` command: one group a feature, one place that turns our errors into exit statuses."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from imprimatur.access.commands import app as access
from imprimatur.api.commands import app as processes
from imprimatur.api.schema_commands import app as db
from imprimatur.audit.commands import app as audit
from imprimatur.core.errors import BadInput, ImprimaturError
from imprimatur.core.terminal import err, print_json
from imprimatur.costs.commands import app as cost
from imprimatur.datasets.commands import app as dataset
from imprimatur.demo.commands import demo
from imprimatur.evaluation.commands import evaluate
from imprimatur.evaluation.weights_commands import app as weights
from imprimatur.monitoring.commands import app as monitor
from imprimatur.policy.commands import app as policy
from imprimatur.registry.commands import app as model
from imprimatur.release.commands import app as release
from imprimatur.reports.commands import report
from imprimatur.serving.commands import app as serving
from imprimatur_evaluators.errors import EvaluatorError

app = typer.Typer(
    name="imprimatur",
    help="A governed registry for generative models: register, evaluate, decide, release, serve, monitor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(evaluate)
app.command()(report)
for group in (processes, serving, release, db, model, dataset, weights, policy, audit, cost, monitor, access):
    app.add_typer(group)


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 refused by policy or check, 2 wrong usage, 3 fault."""
    try:
        app()
    except ImprimaturError as error:
        _tell(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_status)
    except EvaluatorError as error:
        wrong = BadInput(error.code, error.message, **error.facts)
        _tell(wrong, as_json="--json" in sys.argv)
        sys.exit(wrong.exit_status)


def _tell(error: ImprimaturError, *, as_json: bool) -> None:
    """The error as one JSON document on standard output, or as a sentence on standard error."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, **error.facts}})
    else:
        err.print(f"[bold red]{escape(error.code)}[/]: {escape(error.message)}", soft_wrap=True)


if __name__ == "__main__":
    main()
