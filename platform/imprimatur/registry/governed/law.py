"""What may not be done to a registry through MLflow, by anybody: pure rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from imprimatur.core.errors import BadInput, Refused

_RESERVED = "imprimatur."
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def fold(name: str) -> str:
    r"""``name`` without case, Unicode form and surrounding white space, as people would confuse it.

    >>> fold("Production\n") == fold("\N{FULLWIDTH LATIN SMALL LETTER P}roduction") == "production"
    True
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def version_number(version: object) -> int:
    """The number of a version that is written in ASCII digits alone, the only spelling that has one reading.

    MLflow takes whatever ``int()`` does, ``"+1"`` and ``" 1"`` among it. Raises BadInput ``bad-version``.

    >>> version_number("12"), version_number(12)
    (12, 12)
    """
    text = str(version)
    if _NUMBER.fullmatch(text) is None:
        raise BadInput("bad-version", f"{text[:40]!r} is no version's number (expected digits only, e.g. '12')")
    return int(text)


def refuse_unclear_name(name: str) -> None:
    """Raise BadInput ``bad-model-name`` for a model's name that can look like another one's."""
    if not name or not name.isprintable() or name != name.strip():
        raise BadInput(
            "bad-model-name",
            f"{name[:200]!r} can't be a model's name (expected visible characters, and no space around them)",
        )


def refuse_protected_alias(environments: Iterable[str], model: str, alias: str, version: str = "VERSION") -> None:
    """Raise Refused ``protected-alias`` where ``alias`` is an environment's name."""
    for environment in environments:
        if fold(alias) == fold(environment):
            raise Refused(
                "protected-alias",
                f"{alias!r} of {model!r} is set by `imprimatur promote {model}/{version} --to {environment}` only",
            )


def refuse_protected_stage(environments: Iterable[str], model: str, version: str, stage: str) -> None:
    """Raise Refused ``protected-stage`` where ``stage`` is an environment's name, or one of MLflow's own two."""
    names = {fold(name): name for name in ("staging", "production", *environments)}
    environment = names.get(fold(stage))
    if environment is not None:
        raise Refused(
            "protected-stage",
            f"The stage {stage!r} of {model!r} is closed; "
            f"use `imprimatur promote {model}/{version} --to {environment}`",
        )


def refuse_held(holders: Sequence[str], subject: str, change: str) -> None:
    """Raise Refused ``held-version`` where an environment holds the version, or a version of the model."""
    if holders:
        raise Refused(
            "held-version",
            f"{subject} can't be {change}: it stands in {', '.join(holders)}; roll back or promote another one first",
        )


def refuse_reserved_tags(keys: Iterable[str]) -> None:
    """Raise Refused ``reserved-tag`` where a key begins as ours do."""
    for key in keys:
        if fold(key).startswith(_RESERVED):
            raise Refused("reserved-tag", f"The tag {key!r} is ours (expected a key that does not begin {_RESERVED!r})")
