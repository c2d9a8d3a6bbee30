"""What is checked before a folder is sealed, and again before a pipeline is loaded from one.

Every rule refuses with a stable code and names the file. Nothing is unpickled, imported or executed to find out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from imprimatur.core.digests import Json
from imprimatur.core.errors import Refused
from imprimatur.registry import strict_json
from imprimatur.registry.finite import check_finite
from imprimatur.registry.layout import LOADER_MODULE, MLMODEL, adapter_flavor, lineage_of, pipeline_folder, read_mlmodel
from imprimatur.registry.outside import check_folder, check_settings
from imprimatur.registry.parts import check_parts
from imprimatur.registry.safetensors_header import Tensor, read_header
from imprimatur.registry.stock import INDEX_NAME, check_index, components
from imprimatur.storage.model import check_paths

_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npy", ".npz", ".mar"}
_CODE = {".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".sh", ".exe", ".whl", ".egg", ".pth", ".ipynb"}
_TEXTS = {".txt", ".md", ".yaml", ".yml", ".jinja"}
_BARE_TEXTS = {MLMODEL, "LICENSE", "LICENCE", "NOTICE", "README", ".gitattributes", "registered_model_meta"}
_OPAQUE = {".model", ".png", ".jpg", ".jpeg", ".webp"}  # sentencepiece vocabularies, and a card's pictures
_VOCABULARIES = {"tokenizer.json", "vocab.json"}
_CONFIG_LIMIT = 2 << 20
_TABLE_LIMIT = 40 << 20
_TABLE_MARKS = 4_000_000
_TEXT_LIMIT = 16 << 20
_SHARDS = ".safetensors.index.json"
_ZIP = b"PK\x03\x04"
_PICKLE_PROTOCOLS = {bytes((0x80, protocol)) for protocol in range(2, 6)}
_BOUNDLESS = {"scheduler_config.json": ("lambda_min_clipped",)}  # what solvers clip at, by default nowhere


@dataclass(frozen=True)
class Admitted:
    """What a folder was found to be."""

    pipeline: str
    components: Mapping[str, str]
    weight_files: tuple[str, ...]
    lineage: Mapping[str, Json]


def admit(folder: Path) -> Admitted:
    """What is in ``folder``, once every rule has been found to hold.

    Raises Refused: ``bad-path``, ``path-collision``, ``not-a-file``, ``pickle-file``, ``code-file``, ``file-type``,
    ``bad-json``, ``bad-text``, ``bad-safetensors``, ``missing-shard``, ``no-weights``, ``missing-component``,
    ``bad-model-index``, ``custom-code``, ``outside-file``, ``no-pipeline``, ``two-pipelines``, ``not-a-pipeline``;
    BadInput ``bad-mlmodel``.
    """
    weights = check_files(folder)
    if adapter_flavor(folder) is not None:
        raise Refused(
            "not-a-pipeline",
            "The folder holds an adapter (expected a whole pipeline); it is loaded with its base, by load_sealed",
        )
    top = pipeline_folder(folder)
    check_loader(folder, LOADER_MODULE, top.relative_to(folder).as_posix())
    index = json.loads((top / INDEX_NAME).read_bytes())
    pipeline = check_index(index)
    parts = components(index)
    check_parts(parts, top)
    check_folder(folder, top, pipeline)
    return Admitted(pipeline, parts, tuple(sorted(weights)), lineage_of(folder))


def check_files(folder: Path) -> Mapping[str, tuple[Tensor, ...]]:
    """The tensors of each weight file, by path, once every file is found to be of a kind and form that may be sealed.

    Raises Refused, as ``admit`` does.
    """
    files = _files(folder)
    for path, file in files.items():
        _check_name(path)
        _check_content(path, file)
    weights = {path: _read_weights(path, file) for path, file in files.items() if path.endswith(".safetensors")}
    if not weights:
        raise Refused("no-weights", "The folder holds no .safetensors file (expected the model's weights)")
    for path in files:
        if path.endswith(_SHARDS):
            _check_shards(path, files[path], weights)
    return weights


def _files(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Refused("not-a-file", f"{name!r} is a link, a FIFO or a device (expected plain files)", file=name)
        if path.is_file():
            found[name] = path
    check_paths(found)
    return found


def _check_name(path: str) -> None:
    name = PurePosixPath(path)
    suffix = name.suffix.lower()
    if suffix in _PICKLES:
        raise _pickle(path, f"is a {suffix} file, which runs code when it is loaded")
    if suffix in _CODE:
        raise Refused("code-file", f"{path!r} is code (expected weights, configuration and text only)", file=path)
    known = {".safetensors", ".json"} | _TEXTS | _OPAQUE
    if name.suffix not in known and name.name not in _BARE_TEXTS:
        raise Refused(
            "file-type",
            f"{path!r} is of a kind that no stock pipeline needs (expected {', '.join(sorted(known))})",
            file=path,
        )


def _check_content(path: str, file: Path) -> None:
    if path.endswith(".safetensors"):
        return
    with file.open("rb") as stream:
        start = stream.read(4)
    if start[:2] in _PICKLE_PROTOCOLS or start == _ZIP:
        raise _pickle(path, "holds a pickle or an archive under another name")
    if path.endswith(".json"):
        _check_json(path, file)
    elif PurePosixPath(path).suffix not in _OPAQUE:
        _check_text(path, file)


def _check_json(path: str, file: Path) -> None:
    name = PurePosixPath(path).name
    large = name in _VOCABULARIES or path.endswith(_SHARDS)
    try:
        document = _parse(file, large=large)
    except ValueError as error:
        raise Refused("bad-json", f"{path!r} is no strict JSON: found {error}", file=path) from error
    if not large:
        check_settings(path, document)


def _check_text(path: str, file: Path) -> None:
    size = file.stat().st_size
    if size > _TEXT_LIMIT:
        raise Refused("bad-text", f"{path!r} has {size} bytes (expected at most {_TEXT_LIMIT})", file=path)
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused("bad-text", f"{path!r} is no UTF-8 text at byte {error.start}", file=path) from error
    if "\0" in text:
        raise Refused("bad-text", f"{path!r} holds a zero byte (expected text)", file=path)


def _read_weights(path: str, file: Path) -> tuple[Tensor, ...]:
    try:
        tensors = read_header(file)
        check_finite(file, tensors)
    except ValueError as error:
        with file.open("rb") as stream:
            start = stream.read(4)
        if start[:2] in _PICKLE_PROTOCOLS or start == _ZIP:
            raise _pickle(path, "holds a pickle or an archive under another name") from error
        raise Refused("bad-safetensors", f"{path!r} is no strict safetensors file: found {error}", file=path) from error
    return tensors


def _check_shards(path: str, file: Path, weights: Mapping[str, Iterable[Tensor]]) -> None:
    document = _parse(file, large=True)
    mapped = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(mapped, dict) or not mapped or not all(isinstance(shard, str) for shard in mapped.values()):
        raise Refused("missing-shard", f"{path!r} maps no tensors to files (expected `weight_map`)", file=path)
    folder = PurePosixPath(path).parent
    for shard in sorted(set(mapped.values())):
        present = {tensor.name for tensor in weights.get((folder / shard).as_posix(), ())}
        absent = [name for name, where in mapped.items() if where == shard and name not in present]
        if absent:
            raise Refused(
                "missing-shard",
                f"{path!r} expects tensor {absent[0]!r} in {shard!r}, which is missing or does not hold it",
                file=path,
            )


def check_loader(folder: Path, loader: str, data: str | None = None) -> None:
    """Check with what, and from where, MLflow would load the folder by its MLmodel file.

    Raises Refused ``custom-code`` for anything but the module ``loader``, ``outside-file`` for anything but ``data``.
    """
    path = folder / MLMODEL
    if not path.is_file():
        return
    flavors = read_mlmodel(path).get("flavors")
    pyfunc = flavors.get("python_function", {}) if isinstance(flavors, dict) else None
    if not isinstance(pyfunc, dict):
        raise Refused(
            "custom-code", f"{MLMODEL} has no readable flavors (expected those of log_pipeline)", file=MLMODEL
        )
    if pyfunc and (pyfunc.get("loader_module") != loader or pyfunc.get("code")):
        raise Refused(
            "custom-code",
            f"{MLMODEL} loads with {pyfunc.get('loader_module')!r} and code {pyfunc.get('code')!r} "
            f"(expected {loader!r} and no code); log the pipeline with that module",
            file=MLMODEL,
        )
    if pyfunc.get("data") not in (None, data):
        raise Refused(
            "outside-file",
            f"{MLMODEL} has MLflow load from {pyfunc['data']!r} (expected {repr(data) if data else 'no such entry'}: "
            "what is checked must be what is loaded); log it again",
            file=MLMODEL,
        )


def _parse(file: Path, *, large: bool) -> Any:
    limit = _TABLE_LIMIT if large else _CONFIG_LIMIT
    size = file.stat().st_size
    if size > limit:
        raise ValueError(f"{size} bytes, at most {limit} allowed")
    data = file.read_bytes()
    if large:
        return strict_json.parse(data, limit=limit, marks=_TABLE_MARKS)
    return strict_json.parse(data, limit=limit, boundless=_BOUNDLESS.get(file.name, ()))


def _pickle(path: str, found: str) -> Refused:
    return Refused(
        "pickle-file",
        f"{path!r} {found} (expected weights in .safetensors only); save the pipeline with safe_serialization=True",
        file=path,
    )
