"""Whether weights are numbers: a NaN or an infinity in a tensor spoils every image, and no score can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from imprimatur.registry.safetensors_header import BITS, Tensor

_CHUNK = 1 << 20
_EXPONENTS = {"F16": 0x7C00, "BF16": 0x7F80, "F32": 0x7F800000, "F64": 0x7FF0000000000000, "F8_E5M2": 0x7C}
_WORDS = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}


def check_finite(path: Path, tensors: Iterable[Tensor]) -> None:
    """Raise ValueError, naming the tensor, where a floating-point weight of the file is NaN or infinite.

    A number is finite when not all bits of its exponent are set; chunks of 1 MiB are looked at, whatever the size.
    """
    with path.open("rb") as stream:
        for tensor in tensors:
            if tensor.dtype not in _EXPONENTS:
                continue
            stream.seek(tensor.begin)
            left = tensor.end - tensor.begin
            while left:
                data = stream.read(min(left, _CHUNK))
                left -= len(data)
                if not data or _has_odd(data, tensor.dtype):
                    raise ValueError(f"NaN or infinity in tensor {tensor.name!r} (expected finite weights)")


def _has_odd(data: bytes, dtype: str) -> bool:
    words = np.frombuffer(data, dtype=_WORDS[BITS[dtype]])
    exponent = words.dtype.type(_EXPONENTS[dtype])
    return bool(((words & exponent) == exponent).any())
