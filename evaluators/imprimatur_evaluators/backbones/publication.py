"""A file of weights as its authors publish it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

OPEN_CLIP = "open_clip:"
"""Before the name and tag of any of open_clip's models: ``open_clip:ViT-B-32/openai``."""


@dataclass(frozen=True)
class Published:
    """One file of weights as its authors publish it.

    ``files`` are addresses of the same weights, tried in order where one does not exist; those that begin with ``hub:``
    are ``repository/file@revision`` on the Hugging Face hub. ``digest`` is None where none is published.
    """

    name: str
    architecture: str
    files: tuple[str, ...]
    licence: str
    source: str
    digest: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """What the architecture is built from."""
        return {"architecture": self.architecture, **self.settings}

    @property
    def addresses(self) -> tuple[str, ...]:
        """The files as addresses; ``HF_ENDPOINT`` names another hub, as it does for Hugging Face's own client."""
        return tuple(_address(file) for file in self.files)

    @property
    def file_names(self) -> tuple[str, ...]:
        """What the files are called where somebody has downloaded them into a folder."""
        return tuple(PurePosixPath(address).name for address in self.addresses)


def _address(file: str) -> str:
    if not file.startswith("hub:"):
        return file
    path, _, revision = file.removeprefix("hub:").partition("@")
    repository, _, name = path.rpartition("/")
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
    return f"{hub}/{repository}/resolve/{revision or 'main'}/{name}"
