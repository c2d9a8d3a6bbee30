"""Whether weights are numbers: a NaN or an infinity in a tensor spoils every image, and no score can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imprimatur.registry.safetensors_header import Tensor

_CHUNK = 1 << 20
_ODD: Mapping[str, np.unsignedinteger[Any]] = {
    "F8_E4M3": np.uint8(0x7F),  # no infinities; NaN has all bits but the sign's
    "F8_E5M2": np.uint8(0x7C),
    "F8_E8M0": np.uint8(0xFF),
    "F16": np.uint16(0x7C00),
    "BF16": np.uint16(0x7F80),
    "F32": np.uint32(0x7F800000),
    "C64": np.uint32(0x7F800000),  # two F32
    "F64": np.uint64(0x7FF0000000000000),
}


def check_finite(path: Path, tensors: Iterable[Tensor]) -> None:
    """Raise ValueError, naming the tensor, where a floating-point weight of the file is NaN or infinite.

    A number is odd when all bits of its type's mask are set: for most types those of the exponent. Chunks of 1 MiB are
    looked at, whatever the size. Whole numbers and F4 are always finite.
    """
    with path.open("rb") as stream:
        for tensor in tensors:
            if tensor.dtype not in _ODD:
                continue
            stream.seek(tensor.begin)
            left = tensor.end - tensor.begin
            while left:
                data = stream.read(min(left, _CHUNK))
                left -= len(data)
                if not data or _has_odd(data, tensor.dtype):
                    raise ValueError(f"NaN or infinity in tensor {tensor.name!r} (expected finite weights)")


def _has_odd(data: bytes, dtype: str) -> bool:
    mask = _ODD[dtype]
    words: NDArray[Any] = np.frombuffer(data, dtype=mask.dtype)
    return bool(((words & mask) == mask).any())
