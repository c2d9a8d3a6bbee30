"""CLIP's own tokenizer: byte pairs over the vocabulary that open_clip's package carries, so no network is asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from open_clip.tokenizer import SimpleTokenizer


class BytePairTokenizer:
    """CLIP's byte pairs (Radford et al., ICML 2021): lower case, start token, at most 77 tokens, end token."""

    def __init__(self, context_length: int) -> None:
        self._context_length = context_length
        self._pairs = SimpleTokenizer(context_length=context_length)

    def encode(self, prompts: Sequence[str]) -> NDArray[np.int64]:
        """Token numbers [prompts, context length], filled up with 0; a prompt too long is cut and keeps its end."""
        encoded: NDArray[np.int64] = self._pairs(list(prompts)).numpy()
        return encoded

    def truncated(self, prompts: Sequence[str]) -> int:
        """How many prompts have more than ``context_length`` tokens with their start and end."""
        return sum(len(self._pairs.encode(prompt)) > self._context_length - 2 for prompt in prompts)
