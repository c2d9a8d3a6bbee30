"""Tensors by name from verified bytes, and a network that is made of them without a second copy."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.formats import Format
from imprimatur_evaluators.errors import BadWeights

StateDict = dict[str, Tensor]
Module = TypeVar("Module", bound=nn.Module)

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def state_dict_of(entry: Entry, weights: bytearray) -> StateDict:
    """The tensors in the verified bytes, by name; those of safetensors are views of the bytes.

    Where the configuration names a ``state_dict_key``, the tensors stand under that key of the file. Raises BadWeights
    'executable-weights' or 'weights-do-not-fit'.
    """
    loaded: Any = _safetensors(entry, weights) if entry.format is Format.SAFETENSORS else _pickled(entry, weights)
    key = entry.config.get("state_dict_key")
    if key is not None:
        loaded = loaded.get(key)
    if not isinstance(loaded, Mapping):
        raise BadWeights("weights-do-not-fit", f"{entry.path} holds no tensors by name under {key!r}")
    return {str(name): tensor for name, tensor in loaded.items() if isinstance(tensor, Tensor)}


def _safetensors(entry: Entry, weights: bytearray) -> StateDict:
    start = 8 + int.from_bytes(weights[:8], "little")
    header = json.loads(bytes(weights[8:start]))
    try:
        return {name: _viewed(weights, start, **stated) for name, stated in header.items() if name != "__metadata__"}
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise BadWeights("weights-do-not-fit", f"{entry.path} is damaged: {error}; fetch or import it again") from error


def _viewed(weights: bytearray, start: int, *, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    kind = _DTYPES[dtype]
    begin, end = data_offsets
    count = torch.Size(shape).numel()
    if not 0 <= begin <= end <= len(weights) - start or end - begin != count * kind.itemsize:
        raise ValueError(f"a tensor of shape {shape} can't stand at {data_offsets} of {len(weights) - start} bytes")
    if count == 0:
        return torch.zeros(shape, dtype=kind)
    return torch.frombuffer(weights, dtype=kind, count=count, offset=start + begin).reshape(shape)


def _pickled(entry: Entry, weights: bytearray) -> Any:
    try:
        return torch.load(BytesIO(weights), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadWeights(
            "executable-weights",
            f"{entry.path} could run code of its own when it is loaded; nothing was run; bring the weights as "
            f"safetensors or as a plain state dict: {error}",
        ) from error


def assembled(entry: Entry, build: Callable[[], Module], state: Mapping[str, Tensor]) -> Module:
    """The network that ``build`` makes, in float32 and for inference, with exactly the tensors of ``state``.

    It is built without memory of its own first and takes the tensors as they are. Where it computes something at
    construction that no file holds (a mask, say), it is built a second time to have that. Raises BadWeights
    'weights-do-not-fit' unless names and shapes agree exactly.
    """
    with torch.device("meta"):
        module = build()
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise BadWeights(
            "weights-do-not-fit", f"the weights of '{entry.name}' do not fit its configuration: {error}"
        ) from error
    if any(buffer.is_meta for buffer in module.buffers()):
        module = build()
        module.load_state_dict(state, strict=True, assign=True)
    return module.float().eval().requires_grad_(False)
