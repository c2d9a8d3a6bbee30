"""What each part of a pipeline must hold in its own folder, as its class's name tells without importing the class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imprimatur.core.errors import Refused
from imprimatur.registry.stock import INDEX_NAME

_NAME_LIMIT = 255  # bytes, as file systems have it


@dataclass(frozen=True)
class Needs:
    """The configuration files of which a part must hold one, and whether it must hold weights."""

    configurations: tuple[str, ...]
    weights: bool = False


def needs_of(kind: str) -> Needs:
    """What a part of the stock class ``kind`` is loaded from.

    >>> needs_of("DDIMScheduler")
    Needs(configurations=('scheduler_config.json',), weights=False)
    """
    if kind.endswith("Scheduler"):
        return Needs(("scheduler_config.json",))
    if kind.endswith("Guidance"):
        return Needs(("guider_config.json",))
    if kind.endswith(("Tokenizer", "TokenizerFast", "TokenizersBackend")) and not kind.endswith("AudioTokenizer"):
        return Needs(("tokenizer_config.json",))
    if kind.endswith(("Processor", "FeatureExtractor")):
        return Needs(("preprocessor_config.json", "processor_config.json"))
    return Needs(("config.json",), weights=True)


def check_parts(parts: Mapping[str, str], top: Path) -> None:
    """Check that the folder ``top`` holds each of ``parts``, classes by name. Raises Refused ``missing-component``.

    Without its own configuration or weights, a part would be loaded from elsewhere or made up.
    """
    for name, kind in parts.items():
        if not _is_folder_name(name) or not (top / name).is_dir():
            raise _missing(name, "but there is no folder of that name")
        needs = needs_of(kind)
        if not any((top / name / file).is_file() for file in needs.configurations):
            raise _missing(name, f"whose folder lacks {' or '.join(needs.configurations)}")
        if needs.weights and not any(file.suffix == ".safetensors" for file in (top / name).iterdir()):
            raise _missing(name, "whose folder has no .safetensors file")


def _is_folder_name(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..") and len(name.encode()) <= _NAME_LIMIT


def _missing(name: str, found: str) -> Refused:
    return Refused(
        "missing-component",
        f"{INDEX_NAME} names component {name[:80]!r}, {found} (expected what save_pretrained writes of it)",
        file=name[:_NAME_LIMIT],
    )
