"""The one module that tells other libraries, through the environment, how to behave.

MLflow and the Hugging Face libraries read environment variables when they are imported; the registry's package imports
this module first, so that nothing of theirs calls home. Their server's configuration follows from our settings.
"""

from __future__ import annotations

import os

from imprimatur.core.settings import Settings

REGISTRY_SCHEME = "imprimatur-registry"
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
}

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
