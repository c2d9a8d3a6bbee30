"""Sealed bytes for MLflow's clients: what they load of a sealed version is what was sealed, whatever its run holds.

MLflow knows a version's files by a download URI below its artifact proxy. A sealed version's names its manifest, and
the proxy's paths below `sealed/` are answered here, from the sealed store, for reading only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response, StreamingResponse

from imprimatur.core.digests import Digest
from imprimatur.core.errors import NotFound, Refused
from imprimatur.registry.governed.law import version_number
from imprimatur.storage.model import Manifest
from imprimatur.storage.service import SealedStore

_PROXY = "mlflow-artifacts:/"
_PLACE = re.compile(r"sealed/sha256/([0-9a-f]{64})(?:/(.*))?")
_RESERVED = re.compile(r"sealed(?:/.*)?", re.IGNORECASE)
_ARTIFACTS = re.compile(r"/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts(?:/(.*))?")
_OF_VERSION = "/model-versions/get-artifact"


def download_uri(digest: Digest) -> str:
    """Where MLflow's clients find the files of the sealed manifest.

    >>> download_uri("sha256:" + "0" * 64)
    'mlflow-artifacts:/sealed/sha256/0000000000000000000000000000000000000000000000000000000000000000'
    """
    return f"{_PROXY}{place_of(digest)}"


def place_of(digest: Digest) -> str:
    """The place of a sealed manifest below the artifact proxy."""
    return f"sealed/{digest.replace(':', '/')}"


def asked_place(inner: str, query: bytes) -> str | None:
    """The place below ``sealed`` that a request to MLflow's artifact proxy names; None where it names another."""
    match = _ARTIFACTS.fullmatch(inner)
    if match is None:
        return None
    place = match[1] or parse_qs(query.decode("latin-1")).get("path", [""])[0]
    return place.rstrip("/") if _RESERVED.fullmatch(place) else None


@dataclass(frozen=True)
class AskedVersion:
    """A file of a version, as MLflow's pages ask for it."""

    model: str
    version: int
    path: str


def asked_version(inner: str, query: bytes) -> AskedVersion | None:
    """The version and file that MLflow's page of a version asks for; None where the request is another one.

    Raises BadInput ``bad-version``.
    """
    asked = {name: values[0] for name, values in parse_qs(query.decode("latin-1")).items()}
    if inner != _OF_VERSION or not asked.keys() >= {"name", "version", "path"}:
        return None
    return AskedVersion(asked["name"], version_number(asked["version"]), asked["path"])


def is_artifact(inner: str) -> bool:
    """Whether the path is MLflow's artifact proxy, which reads, writes and deletes the files of runs and models."""
    return _ARTIFACTS.fullmatch(inner) is not None


def asks_for_list(inner: str) -> bool:
    """Whether the request is for the names in a folder, and not for a file."""
    match = _ARTIFACTS.fullmatch(inner)
    return match is not None and not match[1]


def answer(store: SealedStore, method: str, place: str, *, lists: bool) -> Response:
    """A file of a sealed manifest, or where it ``lists``, what is in a folder of it.

    Raises Refused ``sealed-bytes`` for anything but reading, NotFound ``no-such-file``.
    """
    if method not in ("GET", "HEAD"):
        raise Refused(
            "sealed-bytes", f"Nothing is written or deleted below {place[:80]!r}: sealed bytes stay as they are"
        )
    match = _PLACE.fullmatch(place)
    if match is None:
        raise _no_such(place)
    manifest, path = store.manifest(f"sha256:{match[1]}"), match[2] or ""
    if lists:
        return JSONResponse({"files": _listing(manifest, path)})
    file = next((one for one in manifest.files if one.path == path), None)
    if file is None:
        raise _no_such(place)
    headers = {"content-length": str(file.size)}
    body = store.stream(file.digest) if method == "GET" else iter(())
    return StreamingResponse(body, media_type="application/octet-stream", headers=headers)


def _listing(manifest: Manifest, folder: str) -> list[dict[str, object]]:
    depth = len(PurePosixPath(folder).parts) if folder else 0
    found: dict[str, dict[str, object]] = {}
    for file in manifest.files:
        parts = PurePosixPath(file.path).parts
        if parts[:depth] != PurePosixPath(folder).parts[:depth] or len(parts) <= depth:
            continue
        whole = len(parts) == depth + 1
        entry: dict[str, object] = {"path": parts[depth], "is_dir": not whole}
        found[parts[depth]] = {**entry, "file_size": file.size} if whole else entry
    return [found[name] for name in sorted(found)]


def _no_such(place: str) -> NotFound:
    return NotFound("no-such-file", f"No sealed manifest has a file at {place[:200]!r}")
