"""Where a version's files come from: run and model artifacts of this server, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from imprimatur.core.errors import Refused
from imprimatur.storage.model import check_path

_SCHEME = "mlflow-artifacts:/"
_PLACE = re.compile(r"[0-9]+/(models/m-[0-9a-f]{32}|[0-9a-f]{32})/artifacts(/.+)?")


def artifact_path(uri: str) -> str:
    """The path below the artifact root that ``uri`` names.

    Raises Refused ``bad-source`` for anything but ``mlflow-artifacts:/EXPERIMENT/RUN/artifacts/...`` and
    ``mlflow-artifacts:/EXPERIMENT/models/MODEL/artifacts/...``: other schemes and hosts, local paths, ``..``, escapes.

    >>> artifact_path("mlflow-artifacts:/1/models/m-0123456789abcdef0123456789abcdef/artifacts")
    '1/models/m-0123456789abcdef0123456789abcdef/artifacts'
    """
    path = uri.removeprefix(_SCHEME)
    if path == uri or not _PLACE.fullmatch(path) or any(mark in path for mark in "%?#"):
        raise bad_source(uri)
    try:
        check_path(path)
    except Refused as error:
        raise bad_source(uri) from error
    return path


def artifact_folder(artifacts: Path, uri: str) -> Path:
    """The folder that ``uri`` names, below ``artifacts`` for certain.

    Raises Refused ``bad-source``, or ``no-artifacts`` where nothing was logged there.
    """
    root = artifacts.resolve()
    folder = root / artifact_path(uri)
    if folder.resolve() != folder:
        raise bad_source(uri)
    if not folder.is_dir():
        raise Refused("no-artifacts", f"There are no files at {uri} (expected a logged model's folder)")
    return folder


def bad_source(uri: str) -> Refused:
    """The refusal of a source that is no artifact of this server."""
    return Refused(
        "bad-source",
        f"{uri[:200]!r} is no run or model artifact of this server (expected a model that was logged here); "
        "log it with imprimatur.registry.flavor.log_pipeline or `imprimatur model register`",
    )
