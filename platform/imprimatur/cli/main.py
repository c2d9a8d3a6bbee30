"""The ``imprimatur`` command: one group a feature, one place that turns our errors into exit statuses."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from imprimatur.core.errors import ImprimaturError
from imprimatur.core.terminal import err, print_json

app = typer.Typer(
    name="imprimatur",
    help="A governed registry for generative models: register, evaluate, decide, release, serve, monitor.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 refused by policy or check, 2 wrong usage, 3 fault."""
    try:
        app()
    except ImprimaturError as error:
        report(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_status)


def report(error: ImprimaturError, *, as_json: bool) -> None:
    """The error as one JSON document on standard output, or as a sentence on standard error."""
    if as_json:
        print_json({"error": {"code": error.code, "message": error.message, **error.facts}})
    else:
        err.print(f"[bold red]{escape(error.code)}[/]: {escape(error.message)}", soft_wrap=True)


if __name__ == "__main__":
    main()
