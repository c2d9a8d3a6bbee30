"""The one module that tells other libraries how to behave, through the environment where they still read it.

MLflow and the Hugging Face libraries read environment variables when they are imported; the registry's package imports
this module first, so that nothing of theirs calls home. Their server's configuration follows from our settings.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import RLock

from imprimatur.core.settings import Settings

REGISTRY_SCHEME = "imprimatur-registry"
_CREDENTIALS = (
    "MLFLOW_TRACKING_TOKEN",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
)
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}
_alone = RLock()

os.environ.update(_QUIET)


def configure_server(settings: Settings) -> None:
    """Point the MLflow server that is about to be imported at our database, artifact folder and governed registry."""
    os.environ.update(
        {
            "_MLFLOW_SERVER_FILE_STORE": settings.database,
            "_MLFLOW_SERVER_REGISTRY_STORE": f"{REGISTRY_SCHEME}://governed",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(settings.artifacts.resolve()),
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "MLFLOW_ENABLE_WORKSPACES": "false",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true",  # ours stands outside: login, hosts, origins
        }
    )


def configure_client(server: str, token: str) -> None:
    """Point this process's MLflow client at the server at ``server``, as the holder of ``token``."""
    os.environ.update(
        {
            "MLFLOW_TRACKING_URI": server,
            "MLFLOW_REGISTRY_URI": server,
            "MLFLOW_TRACKING_TOKEN": token,
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # that is where our documents go
        }
    )


def configure_import() -> None:
    """Keep MLflow's bars and addresses out of what an import prints."""
    os.environ.update(
        {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    )


@contextmanager
def offline() -> Iterator[None]:
    """Inside the block the Hugging Face libraries ask no hub for anything: their requests raise an error of theirs.

    It holds for the whole process, so one block waits for another. What the user set is back afterwards.
    """
    from huggingface_hub import constants  # absent from the server

    with _alone:
        before = constants.HF_HUB_OFFLINE
        constants.HF_HUB_OFFLINE = True
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = before


def credentials() -> dict[str, str]:
    """What this process's MLflow client presents, as the user's environment has it."""
    return {name: os.environ[name] for name in _CREDENTIALS if name in os.environ}


@contextmanager
def presenting(shown: Mapping[str, str]) -> Iterator[None]:
    """Inside the block MLflow's clients present these credentials and no others.

    Two servers in one process need this: MLflow would show the one's token to the other.
    """
    before = credentials()
    _show(shown)
    try:
        yield
    finally:
        _show(before)


def _show(shown: Mapping[str, str]) -> None:
    for name in _CREDENTIALS:
        os.environ.pop(name, None)
    os.environ.update(shown)
