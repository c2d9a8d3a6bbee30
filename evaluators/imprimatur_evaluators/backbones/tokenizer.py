"""Prompts as token numbers. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[a-z0-9]+")


class Tokenizer(Protocol):
    """How a joint network reads prompts. A prompt too long is cut before the end token, which is kept."""

    def encode(self, prompts: Sequence[str]) -> NDArray[np.int64]:
        """Token numbers [prompts, context length]."""

    def truncated(self, prompts: Sequence[str]) -> int:
        """How many prompts are too long to be read to their end."""


@dataclass(frozen=True)
class WordTokenizer:
    """A vocabulary of whole words, which stands in a backbone's configuration.

    Numbers: 0 fills up, 1 is any unknown word, then the vocabulary, start and end; the end has the highest number.

    The text tower reads a prompt off at its highest number. A prompt too long is cut before the end, which is kept.
    """

    vocabulary: tuple[str, ...]
    context_length: int

    @property
    def size(self) -> int:
        """How many different numbers there are."""
        return len(self.vocabulary) + 4

    def encode(self, prompts: Sequence[str]) -> NDArray[np.int64]:
        """Token numbers [prompts, context_length]."""
        tokens = np.zeros((len(prompts), self.context_length), dtype=np.int64)
        for row, prompt in zip(tokens, prompts, strict=True):
            words = self._numbers(prompt)[: self.context_length - 2]
            row[: len(words) + 2] = [self.size - 2, *words, self.size - 1]
        return tokens

    def truncated(self, prompts: Sequence[str]) -> int:
        """How many prompts are too long to be read to their end."""
        return sum(len(self._numbers(prompt)) > self.context_length - 2 for prompt in prompts)

    def _numbers(self, prompt: str) -> list[int]:
        numbers = {word: number for number, word in enumerate(self.vocabulary, start=2)}
        return [numbers.get(word, 1) for word in _WORD.findall(prompt.lower())]
