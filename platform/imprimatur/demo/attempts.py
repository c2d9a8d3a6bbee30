"""Ways to get a version served without permission, each tried for real and each expected to be refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import openai

from imprimatur.core.errors import Fault
from imprimatur.demo.model import ENVIRONMENT, MODEL, Refusal

_PLAIN_MLFLOW = """
import json, sys
import mlflow
from mlflow.exceptions import MlflowException
model, alias, version = sys.argv[1:]
try:
    mlflow.MlflowClient().set_registered_model_alias(model, alias, version)
except MlflowException as error:
    print(json.dumps({"status": error.get_http_status_code(), "code": error.error_code, "message": error.message}))
else:
    print(json.dumps(None))
"""


def by_command(version: int, environment: Mapping[str, str]) -> Refusal | None:
    """Our own command line, as somebody who may promote."""
    command = ["-m", "imprimatur.cli.main", "promote", f"{MODEL}/{version}", "--to", ENVIRONMENT, "--json"]
    answer = _run([*command], environment)
    error = answer.get("error") if answer else None
    return Refusal("cli", version, error["status"], error["code"], error["message"]) if error else None


def by_mlflow(version: int, environment: Mapping[str, str]) -> Refusal | None:
    """A plain MLflow client that sets the alias, in a process that knows nothing of us."""
    answer = _run(["-c", _PLAIN_MLFLOW, MODEL, ENVIRONMENT, str(version)], environment)
    return Refusal("mlflow", version, answer["status"], answer["code"], answer["message"]) if answer else None


def by_gateway(version: int, client: openai.OpenAI) -> Refusal | None:
    """An application that asks the gateway for the version by its number."""
    try:
        client.images.generate(model=f"{MODEL}/{version}", prompt="a handwritten one")
    except openai.APIStatusError as error:
        return Refusal("gateway", version, error.status_code, str(error.code), str(error.message))
    return None


def _run(arguments: list[str], environment: Mapping[str, str]) -> dict[str, Any] | None:
    done = subprocess.run(  # noqa: S603  our own interpreter and our own words
        [sys.executable, *arguments], env=dict(environment), capture_output=True, text=True, timeout=120, check=False
    )
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise Fault(
            "attempt-failed", f"The attempt ended with status {done.returncode}: {done.stderr[-2000:]}"
        ) from error
    return answer if isinstance(answer, dict) else None
