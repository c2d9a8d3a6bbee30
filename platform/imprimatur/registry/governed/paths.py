"""Which of MLflow's paths are ours to serve: an allow-list of route families, on paths that have one reading only."""

from __future__ import annotations

import re

UI_PREFIX = "/mlflow"
_API = r"/(?:ajax-)?api"
_ALLOWED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_API}/2\.0/mlflow/experiments/(?!.*artifact)[a-z-]+",
        rf"{_API}/2\.0/mlflow/runs/(?!create-promptlab-run)[a-z-]+",
        rf"{_API}/2\.0/mlflow/logged-models(?:/.+)?",
        rf"{_API}/2\.0/mlflow/artifacts/list",
        rf"{_API}/2\.0/mlflow/metrics/[a-z-]+",
        rf"{_API}/2\.0/mlflow/registered-models/[a-z-]+",
        rf"{_API}/2\.0/mlflow/model-versions/[a-z-]+",
        rf"{_API}/2\.0/mlflow/(?:unified-)?traces(?:/.+)?",
        rf"{_API}/3\.0/mlflow/traces(?:/.+)?",
        rf"{_API}/3\.0/mlflow/datasets(?:/.+)?",
        rf"{_API}/3\.0/mlflow/server-info",
        rf"{_API}/2\.0/mlflow-artifacts/artifacts(?:/.+)?",
    )
)
_UI = tuple(
    re.compile(pattern)
    for pattern in (
        r"/",
        r"/version",
        r"/graphql",
        r"/static-files/.+",
        r"/get-artifact",
        r"/model-versions/get-artifact",
    )
)
_FILES = re.compile(r"/get-artifact|/model-versions/get-artifact|.*/mlflow-artifacts/artifacts/.+|.*/artifacts/files")
_ESCAPES = re.compile(rb"%(?:2e|2f|5c|25|00|0a|0d)", re.IGNORECASE)


def inner_path(path: str, raw_path: bytes) -> str | None:
    """MLflow's own path for the requested one; None where it is not on the list, or could be read in two ways.

    >>> inner_path("/mlflow/static-files/main.js", b"/mlflow/static-files/main.js")
    '/static-files/main.js'
    >>> inner_path("/graphql", b"/graphql") is None
    True
    """
    if not _plain(path, raw_path):
        return None
    below_ui = path.startswith(f"{UI_PREFIX}/")
    inner = path.removeprefix(UI_PREFIX) if below_ui else path
    families = (*_ALLOWED, *_UI) if below_ui else _ALLOWED
    return inner if any(family.fullmatch(inner) for family in families) else None


def is_file(inner: str) -> bool:
    """Whether the answer is a file that somebody logged: bytes to look at, never a page of ours."""
    return _FILES.fullmatch(inner) is not None


def _plain(path: str, raw_path: bytes) -> bool:
    segments = path.split("/")[1:]
    return (
        path.startswith("/")
        and not _ESCAPES.search(raw_path)
        and not any(segment in (".", "..") for segment in segments)
        and "" not in segments[:-1]
        and "\\" not in path
        and path.isprintable()
    )
