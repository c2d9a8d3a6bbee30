"""The suite document: YAML in, ``Suite`` out, and a sentence with a place for everything that is wrong in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from imprimatur.core.digests import digest_of_json
from imprimatur.core.errors import BadInput
from imprimatur.core.strict_yaml import load
from imprimatur.evaluation.model import ImageSet, Metric, Role, Suite
from imprimatur_evaluators.protocols import PUBLISHED, SPECS, Measure, measure_of

CODE = "bad-suite"
EVERY_SET = "all"
"""The name under which a metric takes the images of all sets together."""

_API_VERSION = "imprimatur/v1"
_KIND = "EvaluationSuite"
_MOST_IMAGES = 100_000
_SUM_SLACK = 1e-6
_UNIFORM = "uniform"


@dataclass(frozen=True)
class _Part:
    """A value of the document and where it stands."""

    value: Any
    place: str

    def refuse(self, expected: str) -> NoReturn:
        """Raise BadInput saying what stands here and what was expected."""
        raise BadInput(CODE, f"{self.place or 'The document'}: got {_shown(self.value)} (expected {expected})")

    def keys(self, required: frozenset[str], optional: frozenset[str] = frozenset()) -> None:
        """Refuse unless this is a mapping with all required keys and no unknown one."""
        known = required | optional
        if not isinstance(self.value, dict):
            self.refuse(f"a mapping with {', '.join(sorted(required))}")
        for unknown in sorted(self.value.keys() - known):
            raise BadInput(
                CODE, f"{self._of(unknown)}: this key is not known (expected one of {', '.join(sorted(known))})"
            )
        for missing in sorted(required - self.value.keys()):
            raise BadInput(CODE, f"{self._of(missing)}: this key is missing (expected {', '.join(sorted(required))})")

    def at(self, key: str) -> _Part:
        """The part under ``key``; its value is None where there is none."""
        return _Part(self.value.get(key), self._of(key))

    def parts(self) -> dict[str, _Part]:
        """The parts of a mapping that has at least one."""
        if not isinstance(self.value, dict) or not self.value:
            self.refuse("a mapping with at least one entry")
        return {key: self.at(key) for key in self.value}

    def items(self) -> list[_Part]:
        """The items of a list that has at least one."""
        if not isinstance(self.value, list) or not self.value:
            self.refuse("a list with at least one item")
        return [_Part(item, f"{self.place}[{index}]") for index, item in enumerate(self.value)]

    def text(self) -> str:
        """A text that is not empty."""
        if not isinstance(self.value, str) or not self.value.strip():
            self.refuse("text")
        return str(self.value)

    def number(self, low: float, high: float) -> float:
        """A finite number from ``low`` to ``high``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float) or not low <= self.value <= high:
            self.refuse(f"a number from {low:g} to {high:g}")
        return float(self.value)

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not low <= self.value <= high:
            self.refuse(f"an integer from {low:,} to {high:,}")
        return int(self.value)

    def exactly(self, expected: str) -> None:
        """Refuse any value but ``expected``."""
        if self.value != expected:
            self.refuse(repr(expected))

    def _of(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def parse(text: str) -> Suite:
    """The suite that ``text`` states. Raises BadInput ``bad-suite`` with the place of the first thing that is wrong."""
    return from_document(load(text, CODE))


def from_document(document: Any) -> Suite:
    """The suite that a document states, once it is parsed from YAML or read back from where it was kept."""
    root = _Part(document, "")
    root.keys(frozenset({"apiVersion", "kind", "metadata", "backbone", "generation", "datasets", "sets", "metrics"}))
    root.at("apiVersion").exactly(_API_VERSION)
    root.at("kind").exactly(_KIND)
    metadata, generation = root.at("metadata"), root.at("generation")
    metadata.keys(frozenset({"name", "version"}), frozenset({"description"}))
    generation.keys(frozenset({"steps", "guidance", "batch"}))
    sets = _sets(root.at("sets"))
    metrics = _metrics(root.at("metrics"), frozenset(each.name for each in sets), root.at("backbone").text())
    return Suite(
        name=_name(metadata.at("name")),
        version=metadata.at("version").integer(1, 1_000_000),
        digest=digest_of_json(document),
        backbone=root.at("backbone").text(),
        steps=generation.at("steps").integer(1, 1000),
        guidance=generation.at("guidance").number(0.0, 100.0),
        batch=generation.at("batch").integer(1, 256),
        datasets=_datasets(root.at("datasets"), metrics),
        sets=sets,
        metrics=metrics,
        document=document,
    )


def _name(part: _Part) -> str:
    name = part.text()
    if len(name) > 128 or not all(c.islower() or c.isdigit() or c in "-._" for c in name):
        part.refuse("at most 128 lower-case letters, digits, '-', '.' and '_'")
    return name


def _datasets(part: _Part, metrics: tuple[Metric, ...]) -> Mapping[str, str]:
    needed = frozenset({Role.PROMPTS.value}).union(*(SPECS[metric.statistic].needs for metric in metrics))
    part.keys(needed, frozenset(Role) - needed)
    return {role: each.text() for role, each in part.parts().items()}


def _sets(part: _Part) -> tuple[ImageSet, ...]:
    found = []
    for name, each in part.parts().items():
        if name == EVERY_SET:
            each.refuse(f"another name: {EVERY_SET!r} means all sets together")
        each.keys(frozenset({"group", "images_per_prompt"}))
        per_prompt = each.at("images_per_prompt").integer(1, _MOST_IMAGES)
        found.append(ImageSet(name, each.at("group").text(), per_prompt))
    return tuple(found)


def _metrics(part: _Part, sets: frozenset[str], backbone: str) -> tuple[Metric, ...]:
    metrics = tuple(_metric(each, sets, backbone) for each in part.items())
    names = [metric.name for metric in metrics]
    for index, name in enumerate(names):
        if name in names[:index]:
            _Part(name, f"{part.place}[{index}].name").refuse("each metric once")
    return metrics


def _metric(part: _Part, sets: frozenset[str], backbone: str) -> Metric:
    if not isinstance(part.value, dict):
        part.refuse("a mapping with name and images")
    name, images = part.at("name"), part.at("images")
    measure = _measure(name, part.at("backbone"), backbone)
    known = _OPTIONS.get(measure.statistic, _Known())
    part.keys(frozenset({"name", "images"}) | known.required.keys(), frozenset({"backbone", *known.optional}))
    if images.value not in sets | {EVERY_SET}:
        images.refuse(f"one of {', '.join(sorted(sets | {EVERY_SET}))}")
    checks = {**known.required, **known.optional}
    options = {key: check(part.at(key)) for key, check in checks.items() if key in part.value}
    return Metric(measure.name, images.value, options, measure.statistic, measure.backbone)


def _measure(name: _Part, own: _Part, backbone: str) -> Measure:
    """What the name means on its own backbone, else on that of the suite; a published name has one already."""
    if name.value not in {*SPECS, *PUBLISHED}:
        name.refuse(f"one of {', '.join(sorted({*SPECS, *PUBLISHED}))}")
    if own.value is not None and name.value in PUBLISHED:
        own.refuse(f"nothing: {name.value} is measured on {PUBLISHED[name.value].backbone}")
    return measure_of(str(name.value), backbone if own.value is None else own.text())


def _rate(part: _Part) -> float:
    return part.number(1e-6, 0.5)


def _scale(part: _Part) -> float:
    return part.number(1e-6, 1e6)


def _neighbours(part: _Part) -> int:
    return part.integer(1, 100)


def _pairs(part: _Part) -> int:
    return part.integer(0, 1000)


def _texts(part: _Part) -> list[str]:
    return [each.text() for each in part.items()]


def _captions(part: _Part) -> dict[str, str]:
    return {label: each.text() for label, each in part.parts().items()}


def _target(part: _Part) -> str | dict[str, float]:
    if part.value == _UNIFORM:
        return _UNIFORM
    shares = {label: each.number(1e-6, 1.0) for label, each in part.parts().items()}
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=_SUM_SLACK):
        part.refuse(f"shares that add up to 1, these add up to {sum(shares.values()):g}")
    return shares


@dataclass(frozen=True)
class _Known:
    """What a metric must be told, and what it may be told."""

    required: Mapping[str, Callable[[_Part], Any]] = field(default_factory=dict)
    optional: Mapping[str, Callable[[_Part], Any]] = field(default_factory=dict)


_NEIGHBOURS = _Known({}, {"k": _neighbours})
_OPTIONS: Mapping[str, _Known] = {
    "kernel-rbf": _Known({}, {"sigma": _scale}),
    "precision": _NEIGHBOURS,
    "recall": _NEIGHBOURS,
    "density": _NEIGHBOURS,
    "coverage": _NEIGHBOURS,
    "alignment": _Known({}, {"prompts": _texts}),
    "disparity": _Known({"target": _target}, {"labels": _captions}),
    "similarity": _Known({"false_positive_rate": _rate}, {"pairs": _pairs}),
}
"""The options of the statistics that have some."""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"a mapping with {', '.join(map(str, value)) or 'nothing'}"
    if isinstance(value, list):
        return f"a list of {len(value)} items"
    return "nothing" if value is None else repr(value)
