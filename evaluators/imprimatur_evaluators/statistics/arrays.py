"""The one kind of number that statistics work on, and how anything comes to be of that kind. No torch here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


def as_array(values: Any) -> Array:
    """``values``, an array or a tensor on any device, as a float64 array; no copy where it is one already.

    >>> as_array([[1, 2]]).dtype
    dtype('float64')
    """
    detached = values.detach().cpu() if hasattr(values, "detach") else values
    array: Array = np.asarray(detached, dtype=np.float64)
    return array
