"""Manifests: which files, how long, with which digests; and which paths a file may have."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused

_PATH_LIMIT = 512
_DEPTH_LIMIT = 16


@dataclass(frozen=True)
class SealedFile:
    """One file of a sealed folder; ``path`` is relative, with forward slashes."""

    path: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Manifest:
    """The files of one sealed folder, sorted by path; ``digest`` is that of the OCI manifest's bytes in the store."""

    digest: Digest
    artifact_type: str
    files: tuple[SealedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def check_path(path: str) -> None:
    """Raise Refused ``bad-path`` unless ``path`` means one place below a folder, on every system.

    >>> check_path("unet/config.json")
    >>> check_path("../secret.txt")
    Traceback (most recent call last):
    ...
    imprimatur.core.errors.Refused: '../secret.txt' is no path of a sealed file (found '..'; expected ...)
    """
    problem = _problem_of(path)
    if problem:
        raise Refused(
            "bad-path",
            f"{path!r} is no path of a sealed file (found {problem}; expected names joined by '/', below the folder)",
            file=path,
        )


def check_paths(paths: Iterable[str]) -> None:
    """Check every path, and that no two are one file on a system that ignores case or Unicode form.

    Raises Refused ``bad-path`` or ``path-collision``.
    """
    seen: dict[str, str] = {}
    for path in paths:
        check_path(path)
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())
        if folded in seen:
            raise Refused(
                "path-collision",
                f"{seen[folded]!r} and {path!r} differ in case or Unicode form only (expected distinct names)",
                file=path,
            )
        seen[folded] = path


def _problem_of(path: str) -> str | None:
    parts = path.split("/")
    if len(path) > _PATH_LIMIT or len(parts) > _DEPTH_LIMIT:
        return f"{len(path)} characters in {len(parts)} levels, at most {_PATH_LIMIT} in {_DEPTH_LIMIT}"
    for part in parts:
        if part in ("", ".", "..", ".git"):
            return repr(part)
    odd = [c for c in path if c == "\\" or c == ":" or unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    return repr(odd[0]) if odd else None
