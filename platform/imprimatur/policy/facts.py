"""The words that a policy may use: every fact with its type, and the names of scores."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from imprimatur.policy.model import Bounds, Plain
from imprimatur_evaluators.protocols import PUBLISHED, SPECS


class Kind(StrEnum):
    """The type of a fact, by its name in CEL."""

    BOOL = "bool"
    INT = "int"
    DOUBLE = "double"
    STRING = "string"
    STRINGS = "list<string>"


Value = bool | int | float | str | list[str]

PLAIN: Mapping[str, Kind] = {
    "model.name": Kind.STRING,
    "model.version": Kind.INT,
    "model.pipeline": Kind.STRING,
    "model.files": Kind.STRINGS,
    "model.weight_files": Kind.STRINGS,
    "model.bytes": Kind.INT,
    "model.has_lineage": Kind.BOOL,
    "model.missing_lineage": Kind.STRINGS,
    "model.has_predecessor": Kind.BOOL,
    "use.purpose": Kind.STRING,
    "use.prohibited": Kind.STRINGS,
    "use.audience": Kind.STRING,
    "use.region": Kind.STRING,
    "use.tier": Kind.STRING,
    "use.owner": Kind.STRING,
    "use.review_by": Kind.STRING,
    "eval.status": Kind.STRING,
    "eval.images": Kind.INT,
    "eval.suite": Kind.STRING,
    "eval.suite_version": Kind.INT,
    "eval.backbone": Kind.STRING,
    "eval.seed": Kind.INT,
    "eval.steps": Kind.INT,
    "eval.guidance": Kind.DOUBLE,
    "eval.build": Kind.STRING,
    "data.names": Kind.STRINGS,
    "data.licences": Kind.STRINGS,
    "data.missing_licences": Kind.INT,
    "data.failed_expectations": Kind.INT,
    "submitter": Kind.STRING,
}
"""Every plain fact. ``data.*`` is about the training data in the lineage and the datasets of the evaluation."""

STATISTICS = (*PUBLISHED, *SPECS)
"""What the first part of a score's name may be."""

SHARES = frozenset(spec.name for spec in SPECS.values() if spec.share)
"""Statistics that are shares of images, told to people in percent."""

SUFFIXES: Mapping[str, Kind] = {"value": Kind.DOUBLE, "ci_low": Kind.DOUBLE, "ci_high": Kind.DOUBLE, "n": Kind.INT}

_TEXT = r'"(?:\\.|[^"\\])*"|' + r"'(?:\\.|[^'\\])*'"
_COMMENT = r"//[^\n]*"
_SCORE = r"(?P<root>score|delta)\.(?:`(?P<quoted>[^`]+)`|(?P<bare>\w+))(?:\.(?P<suffix>value|ci_low|ci_high|n)\b)?"
_PLAIN = r"(?P<plain>(?:model|use|eval|data|params)\.\w+|submitter\b)"
_TOKEN = re.compile(rf"{_TEXT}|{_COMMENT}|(?<![\w.])(?:{_SCORE}|{_PLAIN})")
_COMPARISON = re.compile(
    r"\s*(?:(?P<score>score\.(?:`[^`]+`|\w+))\s*(?:<=?|>=?)\s*(?P<param>params\.\w+)"
    r"|(?P<param2>params\.\w+)\s*(?:<=?|>=?)\s*(?P<score2>score\.(?:`[^`]+`|\w+)))\s*"
)
_INT64 = 2**63


@dataclass(frozen=True)
class Reference:
    """One name in an expression. ``root`` is score, delta or plain; ``suffix`` is empty where the engine chooses the
    bound."""

    root: str
    name: str
    suffix: str = ""

    @property
    def variable(self) -> str:
        """The CEL variable that stands for it."""
        if self.root == "plain":
            return self.name
        return f"{self.root}.{self.name}" + (f".{self.suffix}" if self.suffix else "")

    @property
    def uncertain(self) -> bool:
        """Whether it has an interval whose bounds the engine goes through."""
        return self.root != "plain" and not self.suffix


@dataclass(frozen=True)
class Comparison:
    """A rule that compares one score with one parameter."""

    score: str
    param: str


def references(expr: str) -> tuple[Reference, ...]:
    """The facts, parameters and scores that ``expr`` names, each once, in order of appearance.

    >>> [r.variable for r in references('score.`frechet/x` <= params.limit && eval.status == "score.fid"')]
    ['score.frechet/x', 'params.limit', 'eval.status']
    """
    return tuple(dict.fromkeys(_named(expr)))


def comparison(expr: str) -> Comparison | None:
    """The score and the parameter that ``expr`` compares, where it does nothing else.

    >>> comparison("score.`coverage/x` >= params.coverage_min")
    Comparison(score='coverage/x', param='coverage_min')
    """
    found = _COMPARISON.fullmatch(expr)
    if found is None:
        return None
    score = found["score"] or found["score2"]
    param = found["param"] or found["param2"]
    return Comparison(score.removeprefix("score.").strip("`"), param.removeprefix("params."))


def kind_of(reference: Reference, params: Mapping[str, object]) -> Kind | None:
    """The declared type of a name, None where no such name exists."""
    if reference.root != "plain":
        known = reference.name.partition("/")[0] in STATISTICS
        return SUFFIXES.get(reference.suffix, Kind.DOUBLE) if known else None
    if reference.name.startswith("params."):
        return _kind_of_value(params.get(reference.name.removeprefix("params.")))
    return PLAIN.get(reference.name)


def suggestion(reference: Reference, params: Mapping[str, object]) -> str:
    """What may have been meant, for a message: ``did you mean 'eval.images'?`` or the names that there are."""
    if reference.root != "plain":
        head, slash, rest = reference.name.partition("/")
        near = difflib.get_close_matches(head, STATISTICS, 1)
        return f"did you mean '{near[0]}{slash}{rest}'?" if near else f"one of {', '.join(STATISTICS)}, then /BACKBONE"
    names = [*PLAIN, *(f"params.{name}" for name in params)]
    near = difflib.get_close_matches(reference.name, names, 1)
    root = reference.name.partition(".")[0]
    return (
        f"did you mean {near[0]!r}?" if near else f"one of {', '.join(n for n in names if n.startswith(root)) or names}"
    )


def admit_plain(plain: Mapping[str, Plain]) -> dict[str, Plain]:
    """The plain facts that have their declared type; any other is left out, so that it counts as missing."""
    return {name: value for name, value in plain.items() if name in PLAIN and fits(thawed(value), PLAIN[name])}


def admit_bounds(bounds: Mapping[str, Bounds]) -> dict[str, Bounds]:
    """The scores whose numbers are finite and in order; any other is left out, so that it counts as missing."""
    return {name: b for name, b in bounds.items() if _sound(b)}


def fits(value: object, kind: Kind) -> bool:
    """Whether ``value`` has exactly the type ``kind``: a bool is no number, NaN is none either.

    >>> fits(True, Kind.DOUBLE), fits(float("nan"), Kind.DOUBLE), fits(1.5, Kind.DOUBLE)
    (False, False, True)
    """
    match kind:
        case Kind.BOOL:
            return isinstance(value, bool)
        case Kind.INT:
            return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64
        case Kind.DOUBLE:
            return isinstance(value, float) and math.isfinite(value)
        case Kind.STRING:
            return isinstance(value, str)
        case Kind.STRINGS:
            return isinstance(value, list) and all(isinstance(item, str) for item in value)


def thawed(value: Plain) -> Value:
    """``value`` as the engine takes it: a list where it is a tuple."""
    return list(value) if isinstance(value, tuple) else value


def _named(expr: str) -> Iterator[Reference]:
    for token in _TOKEN.finditer(expr):
        if token["root"]:
            yield Reference(token["root"], token["quoted"] or token["bare"], token["suffix"] or "")
        elif token["plain"]:
            yield Reference("plain", token["plain"])


def _kind_of_value(value: object) -> Kind | None:
    kinds = (Kind.BOOL, Kind.INT, Kind.DOUBLE, Kind.STRING)
    return next((kind for kind in kinds if fits(value, kind)), None)


def _sound(bounds: Bounds) -> bool:
    numbers = (bounds.value, bounds.ci_low, bounds.ci_high)
    return (
        all(fits(number, Kind.DOUBLE) for number in numbers)
        and fits(bounds.n, Kind.INT)
        and bounds.n > 0
        and bounds.ci_low <= bounds.ci_high
    )
