"""What no prompt may be: too long, empty, no text, or with a term that the operator blocked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from imprimatur.core.errors import BadInput


class Guardrails:
    """Checks prompts before anything is drawn."""

    def __init__(self, *, longest: int, blocked: Sequence[str]) -> None:
        self._longest = longest
        terms = sorted({_plain(term) for term in blocked if _plain(term)}, key=len, reverse=True)
        self._blocked = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, terms)) + r")(?!\w)") if terms else None

    def check(self, prompt: str) -> None:
        """Raise BadInput with the reason, a code ``prompt-...``, unless ``prompt`` may be drawn."""
        if len(prompt) > self._longest:
            raise BadInput(
                "prompt-too-long",
                f"The prompt has {len(prompt):,} characters (expected at most {self._longest:,})",
                param="prompt",
            )
        if any(unicodedata.category(char) == "Cc" and not char.isspace() for char in prompt):
            raise BadInput("prompt-not-text", "The prompt has control characters in it (expected text)", param="prompt")
        plain = _plain(prompt)
        if not plain:
            raise BadInput("prompt-empty", "The prompt has no visible characters", param="prompt")
        found = self._blocked.search(plain) if self._blocked else None
        if found:
            raise BadInput(
                "prompt-blocked",
                f"The prompt contains {found.group()!r}, which the operator of this gateway does not allow",
                param="prompt",
            )


def _plain(text: str) -> str:
    """``text`` without differences of case, width, invisible characters and spacing."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    visible = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    return " ".join(visible.split())
