"""What a file of weights is, told from its bytes and without running any of them. No torch here.

Two formats are loaded: safetensors, and a plain state dict as ``torch.save`` writes it. A pickle is a program, so a
state dict is read opcode by opcode here, and every class that it would call must be one of those that tensors are made
of. TorchScript holds code by design and is refused whatever it holds.
"""

from __future__ import annotations

import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import IO

from imprimatur_evaluators.errors import BadWeights

_LARGEST_HEADER = 100_000_000
_OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How ``torch.save`` began its files before version 1.6: a pickled number."""
_OLD_PICKLES = 5
"""The number, the protocol, the machine, the state dict and the order of its storages, one after the other."""
_DATA = re.compile(
    r"(torch (\w+Storage|Size|device|dtype|float16|bfloat16|float32|float64|u?int8|int16|int32|int64|bool)"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter)"
    r"|torch\.storage (UntypedStorage|TypedStorage)"
    r"|collections OrderedDict|__builtin__ set|builtins set)"
)
"""The names that a pickle of tensors, numbers and strings calls."""
_CALLS = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
"""Opcodes that find or make other objects; ``torch.save`` writes none of them for a state dict."""


class Format(StrEnum):
    """A format that is loaded; the value is the ending of its files in the catalogue."""

    SAFETENSORS = "safetensors"
    STATE_DICT = "pt"


def format_of(path: Path) -> Format:
    """The format of the file, told by its content.

    Raises BadWeights 'weights-missing', 'executable-weights' where loading it could run code that it brings, or
    'unknown-format'.
    """
    if not path.is_file():
        raise BadWeights("weights-missing", f"there is no file {path}")
    if _is_safetensors(path):
        return Format.SAFETENSORS
    if zipfile.is_zipfile(path):
        _check_archive(path)
        return Format.STATE_DICT
    with path.open("rb") as opened:
        if opened.read(len(_OLD_MAGIC)) == _OLD_MAGIC:
            opened.seek(0)
            for _ in range(_OLD_PICKLES):
                _check_pickle(opened, path)
            return Format.STATE_DICT
    raise BadWeights(
        "unknown-format", f"{path} is neither safetensors nor a plain state dict as torch.save writes it; convert it"
    )


def _is_safetensors(path: Path) -> bool:
    """Whether the file begins as safetensors do: the length of a JSON header, and that header."""
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = opened.read(length) if 2 <= length <= min(path.stat().st_size, _LARGEST_HEADER) else b""
    try:
        return isinstance(json.loads(header), dict)
    except ValueError:
        return False


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any("/code/" in name or name.endswith("/constants.pkl") for name in names):
                raise _executable(path, "it is TorchScript, which is code")
            pickles = [name for name in names if name.endswith(".pkl")]
            if len(pickles) != 1 or not pickles[0].endswith("/data.pkl"):
                raise BadWeights("unknown-format", f"{path} is an archive without one data.pkl (it has {pickles})")
            with archive.open(pickles[0]) as opened:
                _check_pickle(opened, path)
    except zipfile.BadZipFile as error:
        raise BadWeights("unknown-format", f"{path} is a damaged archive: {error}") from error


def _check_pickle(opened: IO[bytes], path: Path) -> None:
    try:
        for called in _called(opened):
            if not _DATA.fullmatch(called):
                raise _executable(path, f"it calls '{called}'")
    except ValueError as error:
        raise BadWeights("unknown-format", f"{path} is a damaged pickle: {error}") from error


def _called(opened: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(opened):
        if opcode.name == "GLOBAL":
            yield str(argument)
        elif opcode.name in _CALLS:
            yield opcode.name


def _executable(path: Path, why: str) -> BadWeights:
    return BadWeights(
        "executable-weights",
        f"{path} could run code of its own when it is loaded ({why}); nothing was run; "
        "bring the weights as safetensors or as a plain state dict",
    )
