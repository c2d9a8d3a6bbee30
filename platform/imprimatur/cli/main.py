"""The ``imprimatur`` command: one group a feature, one place that turns our errors into exit statuses."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import typer
from rich.markup import escape
from typer.core import TyperGroup
from typer.main import get_command

from imprimatur.core.errors import BadInput, ImprimaturError, Refused
from imprimatur.core.terminal import err, print_json
from imprimatur_evaluators.errors import BadImage, EvaluatorError, TooFew

COMMANDS = {
    "demo": "demo.commands",
    "up": "api.commands",
    "server": "api.commands",
    "worker": "api.commands",
    "gateway": "serving.commands",
    "admit": "serving.admit_commands",
    "db": "api.schema_commands",
    "store": "api.store_commands",
    "keys": "api.key_commands",
    "access": "access.commands",
    "model": "registry.commands",
    "mlflow": "registry.import_commands",
    "dataset": "datasets.commands",
    "weights": "evaluation.weights_commands",
    "evaluate": "evaluation.commands",
    "score": "evaluation.score_commands",
    "policy": "policy.commands",
    "decide": "release.commands",
    "approve": "release.commands",
    "reject": "release.commands",
    "promote": "release.commands",
    "rollback": "release.commands",
    "revoke": "release.commands",
    "history": "release.commands",
    "monitor": "monitoring.commands",
    "report": "reports.commands",
    "audit": "audit.commands",
    "cost": "costs.commands",
}
"""Where each command lives: a module with a Typer ``app`` that is either the group of that name or contains it."""


class Commands(TyperGroup):
    """The commands in the order of the line; a module is imported only when its command is asked for.

    The types of contexts and commands are private to Typer, which carries its own Click.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, None where there is none."""
        if cmd_name not in COMMANDS:
            return None
        app: typer.Typer = import_module(f"imprimatur.{COMMANDS[cmd_name]}").app
        command = get_command(app)
        if app.info.name == cmd_name or not isinstance(command, TyperGroup):
            return command
        return command.get_command(ctx, cmd_name)


app = typer.Typer(
    name="imprimatur",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def imprimatur() -> None:
    """A governed registry for generative models: register, evaluate, decide, release, serve, monitor."""


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 refused by policy or check, 2 wrong usage, 3 fault."""
    try:
        app()
    except ImprimaturError as error:
        _tell(error)
        sys.exit(error.exit_status)
    except EvaluatorError as error:
        kind = Refused if isinstance(error, BadImage | TooFew) else BadInput
        told = kind(error.code, error.message, **error.facts)
        _tell(told)
        sys.exit(told.exit_status)


def _tell(error: ImprimaturError) -> None:
    """The error as one JSON document on standard output where ``--json`` asked for one, else on standard error."""
    if "--json" in sys.argv:
        print_json({"error": {"code": error.code, "message": error.message, **error.facts}})
    else:
        err.print(f"[bold red]{escape(error.code)}[/]: {escape(error.message)}", soft_wrap=True)


if __name__ == "__main__":
    main()
