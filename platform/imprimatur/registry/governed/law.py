"""What may not be done to a registry through MLflow, by anybody: pure rules."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from imprimatur.core.errors import Refused

_RESERVED = "imprimatur."


def fold(name: str) -> str:
    r"""``name`` without case and Unicode form, as people would confuse it.

    >>> fold("Production") == fold("\N{FULLWIDTH LATIN SMALL LETTER P}roduction") == "production"
    True
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


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
    environment = names.get(fold(stage.strip()))
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
