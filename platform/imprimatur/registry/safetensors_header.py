"""Our own strict reader of safetensors: every byte of the file is accounted for, or the file is refused.

Source of the format: https://github.com/huggingface/safetensors#format. The library accepts some of what is refused
here: duplicate keys, names with path parts, unknown fields, files without tensors, endless metadata, NaN weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imprimatur.registry import strict_json

_PREFIX = 8
_HEADER_LIMIT = 16 << 20
_METADATA_LIMIT = 1 << 20
_TENSOR_LIMIT = 50_000
_MARK_LIMIT = 20 * _TENSOR_LIMIT
_DIMENSION_LIMIT = 12
_LARGEST = 2**53
_FIELDS = {"dtype", "shape", "data_offsets"}
_METADATA = "__metadata__"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,511}")
BITS: Mapping[str, int] = MappingProxyType(
    {"BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4}
    | {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32}
    | {"F64": 64, "I64": 64, "U64": 64, "C64": 64}
)


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file: its type, its shape, and where its bytes begin and end in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True)
class _Header:
    """The entries of a header, its metadata among them, and where in the file it ends."""

    entries: Mapping[str, Any]
    end: int


def read_header(path: Path) -> tuple[Tensor, ...]:
    """The tensors of the file, in the order of their bytes. Raises ValueError, saying what is wrong with the file."""
    found = _parse(path)
    header, start = found.entries, found.end
    if not 0 < len(header) - (_METADATA in header) <= _TENSOR_LIMIT:
        raise ValueError(f"{len(header)} tensors (expected 1 to {_TENSOR_LIMIT})")
    entries = ((name, entry) for name, entry in header.items() if name != _METADATA)
    tensors = sorted((_tensor(name, entry, start) for name, entry in entries), key=lambda t: (t.begin, t.end))
    _check_cover(tensors, start, path.stat().st_size)
    return tuple(tensors)


def read_metadata(path: Path) -> Mapping[str, str]:
    """What else the file says of itself. Raises ValueError, saying what is wrong with the file."""
    metadata: Mapping[str, str] = _parse(path).entries.get(_METADATA, {})
    return metadata


def _parse(path: Path) -> _Header:
    size = path.stat().st_size
    with path.open("rb") as stream:
        prefix = stream.read(_PREFIX)
        if len(prefix) < _PREFIX:
            raise ValueError(f"{size} bytes are too few (expected a header)")
        length = int.from_bytes(prefix, "little")
        if length > _HEADER_LIMIT:
            raise ValueError(f"a header of {length} bytes (expected at most {_HEADER_LIMIT})")
        if _PREFIX + length > size:
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        header = strict_json.parse(stream.read(length).rstrip(b" "), limit=_HEADER_LIMIT, marks=_MARK_LIMIT)
    if not isinstance(header, dict):
        raise ValueError(f"a header that is {type(header).__name__} (expected an object)")
    _check_metadata(header.get(_METADATA, {}))
    return _Header(header, _PREFIX + length)


def _tensor(name: str, entry: Any, start: int) -> Tensor:
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"a tensor named {name[:80]!r} (expected letters, digits, '_', '.', '-', ':', '+')")
    if not isinstance(entry, dict) or entry.keys() != _FIELDS:
        raise ValueError(f"tensor {name!r} with other fields than {', '.join(sorted(_FIELDS))}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise ValueError(f"tensor {name!r} of the unknown type {dtype!r}")
    if not _natural(shape) or len(shape) > _DIMENSION_LIMIT:
        raise ValueError(f"tensor {name!r} of shape {str(shape)[:80]} (expected up to {_DIMENSION_LIMIT} sizes)")
    if not _natural(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"tensor {name!r} with offsets {str(offsets)[:80]} (expected begin and end)")
    if math.prod(filter(None, shape)) > _LARGEST:
        raise ValueError(f"tensor {name!r} of shape {str(shape)[:80]} (expected sizes whose product is at most 2^53)")
    bits = math.prod(shape) * BITS[dtype]
    if bits != (offsets[1] - offsets[0]) * 8:
        raise ValueError(f"tensor {name!r} has {offsets[1] - offsets[0]} bytes (expected {bits / 8:g} for its shape)")
    return Tensor(name, dtype, tuple(shape), start + offsets[0], start + offsets[1])


def _natural(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item <= _LARGEST for item in value)


def _check_cover(tensors: list[Tensor], start: int, size: int) -> None:
    position = start
    for tensor in tensors:
        if tensor.begin < position:
            raise ValueError(f"tensor {tensor.name!r} overlaps the one before it")
        if tensor.begin > position:
            raise ValueError(f"{tensor.begin - position} bytes before tensor {tensor.name!r} that belong to none")
        position = tensor.end
    if position > size:
        raise ValueError(f"tensors up to byte {position} in a file of {size}")
    if position < size:
        raise ValueError(f"{size - position} bytes after the last tensor")


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("metadata that does not map text to text")
    length = sum(len(name) + len(value) for name, value in metadata.items())
    if length > _METADATA_LIMIT:
        raise ValueError(f"metadata of {length} characters (expected at most {_METADATA_LIMIT})")
