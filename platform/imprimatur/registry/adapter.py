"""Adapters: LoRA weights as MLflow's own diffusers flavor logs them, which are nothing without their base.

MLflow names the base by a repository or a folder that may hold other bytes tomorrow. So an adapter is sealed only where
its lineage names the digest of a pipeline that is sealed already: then the adapter's own digest fixes both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imprimatur.core.digests import Digest, Json, is_digest
from imprimatur.core.errors import Refused
from imprimatur.registry import strict_json
from imprimatur.registry.admission import admit, check_files, check_loader
from imprimatur.registry.layout import (
    ADAPTER_FOLDER,
    ADAPTER_LOADER,
    ADAPTER_TYPE,
    LINEAGE_KEY,
    MLMODEL,
    PIPELINE_FOLDER,
    PIPELINE_TYPE,
    adapter_flavor,
    lineage_in,
    lineage_of,
    parse_mlmodel,
)
from imprimatur.registry.safetensors_header import read_metadata
from imprimatur.registry.stock import INDEX_NAME
from imprimatur.storage.model import Manifest
from imprimatur.storage.service import SealedStore

_STANDARD_NAME = "pytorch_lora_weights.safetensors"
_TYPES = ("lora",)
_SETTINGS = "lora_adapter_metadata"  # where diffusers keeps peft's settings in the weight file
_SETTINGS_LIMIT = 1 << 20
_RANKS = range(1, 4097)
_KNOWN = {  # what shapes ordinary LoRA layers, or is a note; peft's other settings import, download or rewrite the base
    *("lora_alpha", "layers_to_transform", "bias", "lora_bias", "use_rslora", "use_dora", "fan_in_fan_out"),
    *("lora_dropout", "inference_mode", "peft_type", "task_type", "peft_version", "base_model_name_or_path"),
    *("revision", "qalora_group_size", "megatron_core"),  # the last two do nothing alone
}
_PATTERNS = {"target_modules", "exclude_modules", "layers_pattern", "rank_pattern", "alpha_pattern"}
_PLAIN = re.compile(r"\^?[A-Za-z0-9_.-]{1,256}")
_STARTS = (True, False, None, "gaussian")


@dataclass(frozen=True)
class AdmittedAdapter:
    """What an adapter's folder was found to be: its base's sealed digest, and the path of the weights to load."""

    base: Digest
    weights: str
    weight_files: tuple[str, ...]
    lineage: Mapping[str, Json]


@dataclass(frozen=True)
class Sealable:
    """A folder that may be sealed: as what, and with which lineage."""

    artifact_type: str
    lineage: Mapping[str, Json]


def sealable(folder: Path, store: SealedStore) -> Sealable:
    """What is in ``folder``, once every rule for pipelines or for adapters has been found to hold.

    Raises what ``admit``, or ``admit_adapter`` and ``require_sealed_base``, raise.
    """
    if not holds_adapter(folder):
        return Sealable(PIPELINE_TYPE, admit(folder).lineage)
    adapter = admit_adapter(folder)
    require_sealed_base(store, adapter.base)
    return Sealable(ADAPTER_TYPE, adapter.lineage)


def holds_adapter(folder: Path) -> bool:
    """Whether an MLmodel file says that the folder is an adapter. Raises BadInput ``bad-mlmodel``."""
    path = folder / MLMODEL
    return path.is_file() and not path.is_symlink() and adapter_flavor(folder) is not None


def admit_adapter(folder: Path) -> AdmittedAdapter:
    """The adapter in ``folder``, once every rule but that on the base's being sealed has been found to hold.

    Raises Refused, besides what every folder is refused for: ``bad-adapter`` for another form than MLflow writes or
    settings that an ordinary LoRA does not have, ``unsealed-base`` where no digest is named, ``custom-code``.
    """
    weights = check_files(folder)
    check_loader(folder, ADAPTER_LOADER)
    chosen = _chosen(folder, adapter_flavor(folder) or {})
    if chosen not in weights:
        raise _bad(f"no {chosen!r} (expected the weights there)", chosen)
    for path in weights:
        _check_settings(path, folder / path)
    lineage = lineage_of(folder)
    base = lineage.get("base_model")
    if not isinstance(base, str) or not is_digest(base):
        raise _unsealed(f"names {base!r} as its base")
    return AdmittedAdapter(base, chosen, tuple(sorted(weights)), lineage)


def sealed_base(store: SealedStore, manifest: Manifest) -> Manifest | None:
    """The manifest of the base that the sealed adapter ``manifest`` names; None where that one is no adapter.

    Raises Refused ``unsealed-base`` where the base is sealed here no more.
    """
    base = named_base(store, manifest)
    if base is None:
        return None
    require_sealed_base(store, base)
    return store.manifest(base)


def named_base(store: SealedStore, manifest: Manifest) -> Digest | None:
    """The digest of the base that the sealed adapter ``manifest`` names; None where that one is no adapter.

    Raises NotFound ``no-such-blob`` and Tampered ``blob-changed`` where the file that names it is not what was sealed.
    """
    if manifest.artifact_type != ADAPTER_TYPE:
        return None
    mlmodel = next(file for file in manifest.files if file.path == MLMODEL)
    return str(lineage_in(parse_mlmodel(store.read_blob(mlmodel.digest)))["base_model"])


def require_sealed_base(store: SealedStore, base: Digest) -> None:
    """Raise Refused ``unsealed-base`` unless ``base`` is a pipeline that ``store`` holds sealed."""
    if base not in store.manifests():
        raise _unsealed(f"has the base {base}, which is not sealed here")
    kind = store.manifest(base).artifact_type
    if kind != PIPELINE_TYPE:
        raise _unsealed(f"has the base {base}, which is sealed as {kind}")


def _chosen(folder: Path, flavor: Mapping[str, Any]) -> str:
    """Path of the weight file that the flavor loads."""
    if any((place / INDEX_NAME).exists() for place in (folder, folder / PIPELINE_FOLDER)):
        raise _bad(f"{INDEX_NAME} beside it (expected an adapter or a pipeline, not both)", INDEX_NAME)
    if flavor.get("code"):
        raise Refused("custom-code", f"{MLMODEL} brings code of its own (expected none)", file=MLMODEL)
    kind, place, name = (flavor.get(key) for key in ("adapter_type", "adapter_weights", "weight_name"))
    if kind not in _TYPES:
        raise _bad(f"the adapter type {kind!r} (expected one of {', '.join(_TYPES)})", MLMODEL)
    name = _STANDARD_NAME if name is None else name
    if place != ADAPTER_FOLDER or not isinstance(name, str) or "/" in name:
        raise _bad(f"weights at {place!r} named {name!r} (expected a file in {ADAPTER_FOLDER!r})", MLMODEL)
    return f"{ADAPTER_FOLDER}/{name}"


def _check_settings(path: str, file: Path) -> None:
    """Settings of peft that diffusers would hand on: any of them but the ordinary ones must be unset."""
    text = read_metadata(file).get(_SETTINGS)
    if text is None:
        return
    try:
        settings = strict_json.parse(text.encode(), limit=_SETTINGS_LIMIT)
    except ValueError as error:
        raise _bad(f"settings that are no strict JSON: {error}", path) from error
    if not isinstance(settings, dict):
        raise _bad(f"settings that are {type(settings).__name__} (expected an object)", path)
    for name, value in settings.items():
        field = name.rpartition(".")[2]
        if not _is_ordinary(field, value):
            raise _bad(f"the setting {name!r} of {str(value)[:80]!r} (expected an ordinary LoRA)", path)


def _is_ordinary(field: str, value: Any) -> bool:
    if field == "r":
        return _is_rank(value)
    if field == "rank_pattern" and isinstance(value, dict) and not all(_is_rank(rank) for rank in value.values()):
        return False
    if field == "init_lora_weights":
        return value in _STARTS
    if field in _PATTERNS:
        return all(isinstance(name, str) and _PLAIN.fullmatch(name) for name in _names(value))
    return field in _KNOWN or not value


def _is_rank(value: Any) -> bool:
    return type(value) is int and value in _RANKS


def _names(value: Any) -> Iterable[Any]:
    """What peft would read as regular expressions: a name, those of a list, or the keys of a mapping."""
    return value if isinstance(value, list | dict) else [value] if value else []


def _bad(found: str, file: str) -> Refused:
    return Refused("bad-adapter", f"The adapter has {found}; log it with log_adapter or mlflow.diffusers", file=file)


def _unsealed(found: str) -> Refused:
    return Refused(
        "unsealed-base",
        f"The adapter {found} (expected the sha256 digest of a pipeline that is sealed here); seal the base first, "
        "then log the adapter with imprimatur.registry.flavor.log_adapter(base=DIGEST), or with mlflow.diffusers and "
        f'metadata={{"{LINEAGE_KEY}": {{"base_model": DIGEST}}}}',
    )
