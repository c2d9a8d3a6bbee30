"""Reading a policy document: strictly, so that a slip of the pen is an error and never a rule that does not bite."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from imprimatur.core.digests import Json, digest_of_json
from imprimatur.core.errors import BadInput
from imprimatur.core.strict_yaml import load
from imprimatur.policy.facts import PLAIN, Kind, fits, kind_of, references, suggestion
from imprimatur.policy.model import Approvals, Case, Policy, Rule

CODE = "bad-policy"
ROLES = ("engineer", "reviewer", "operator", "admin")
ANSWERS = ("allow", "deny", "undecided", "error")
WHOLE = "verdict"

_ENVELOPE = {"apiVersion": "imprimatur/v1", "kind": "PromotionPolicy", "enforcement": "deny"}
_ID = re.compile(r"[a-z][a-z0-9-]{0,63}")
_PARAM = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OF_SCORE = ("value", "ci_low", "ci_high", "interval", "n")
_LONGEST_EXPR = 2000
_MOST_SCORES = 4
_KINDS_OF_CASE = (("a passing", {"allow"}), ("a failing", {"deny"}), ("an undecided or error", {"undecided", "error"}))


def parse(text: str) -> Policy:
    """The policy in the YAML ``text``. Raises BadInput ``bad-policy`` that says where, what was found and expected."""
    document = _mapping(load(text, CODE), "document", required=_TOP, optional={"params", "baseline"})
    params = _params(document.get("params", {}))
    types = {name: "double" for name, value in params.items() if isinstance(value, float)}
    return policy_of({**document, "types": types})


def policy_of(document: Mapping[str, Any]) -> Policy:
    """The policy that a parsed document states, with the ``types`` that JSON does not tell: 20.0 is a double, 20 none.

    Raises BadInput ``bad-policy``.
    """
    for key, expected in _ENVELOPE.items():
        if document[key] != expected:
            _wrong(key, document[key], repr(expected))
    metadata = _mapping(document["metadata"], "metadata", required={"name", "version"})
    match = _mapping(document["match"], "match", required={"environment"})
    params = _typed(_params(document.get("params", {})), document["types"])
    rules = _rules(document["rules"], params)
    baseline = _changes(_mapping(document.get("baseline", {}), "baseline"), "baseline", rules)
    return Policy(
        name=_matching(_ID, metadata["name"], "metadata.name"),
        version=_count(metadata["version"], "metadata.version"),
        digest=digest_of_json(document),
        environment=_matching(_ID, match["environment"], "match.environment"),
        params=params,
        approvals=_approvals(document["approvals"]),
        rules=rules,
        baseline=baseline,
        tests=_cases(document["tests"], rules),
        document=document,
    )


_TOP = {"apiVersion", "kind", "metadata", "match", "enforcement", "approvals", "rules", "tests"}


def _params(found: Any) -> dict[str, float | int | str | bool]:
    params = _mapping(found, "params")
    for name, value in params.items():
        _matching(_PARAM, name, f"params.{name}")
        if not isinstance(value, bool | int | float | str):
            _wrong(f"params.{name}", value, "a number, a text, true or false")
    return params


def _typed(
    params: dict[str, float | int | str | bool], types: Mapping[str, str]
) -> Mapping[str, float | int | str | bool]:
    return {name: float(value) if types.get(name) == "double" else value for name, value in params.items()}


def _approvals(found: Any) -> tuple[Approvals, ...]:
    approvals = []
    for place, entry in _entries(found, "approvals"):
        block = _mapping(entry, place, required={"role", "count"})
        if block["role"] not in ROLES:
            _wrong(f"{place}.role", block["role"], f"one of {', '.join(ROLES)}")
        approvals.append(Approvals(block["role"], _count(block["count"], f"{place}.count")))
    _once([a.role for a in approvals], "approvals")
    return tuple(approvals)


def _rules(found: Any, params: Mapping[str, Any]) -> tuple[Rule, ...]:
    rules = tuple(_rule(entry, place, params) for place, entry in _entries(found, "rules"))
    _once([rule.id for rule in rules], "rules")
    return rules


def _rule(found: Any, place: str, params: Mapping[str, Any]) -> Rule:
    block = _mapping(found, place, required={"id", "title", "expr", "message"}, optional={"control", "waivable"})
    rule_id = _matching(_ID, block["id"], f"{place}.id")
    if rule_id == WHOLE:
        _wrong(f"{place}.id", rule_id, "another id: tests call the whole policy's verdict so")
    waivable = block.get("waivable", False)
    if not isinstance(waivable, bool):
        _wrong(f"{place}.waivable", waivable, "true or false")
    expr = _text(block["expr"], f"{place}.expr", longest=_LONGEST_EXPR)
    _check_references(expr, f"{place}.expr", params)
    message = _text(block["message"], f"{place}.message")
    _check_placeholders(message, expr, f"{place}.message", params)
    control = _text(block.get("control", "none"), f"{place}.control")
    return Rule(rule_id, _text(block["title"], f"{place}.title"), expr, message, control, waivable)


def _check_references(expr: str, place: str, params: Mapping[str, Any]) -> None:
    named = references(expr)
    for reference in named:
        if kind_of(reference, params) is None:
            _wrong(place, reference.variable, f"a known name; {suggestion(reference, params)}")
    if not any(reference.variable.partition(".")[0] != "params" for reference in named):
        _wrong(place, expr, "an expression about at least one fact or score")
    uncertain = [reference.variable for reference in named if reference.uncertain]
    if len(uncertain) > _MOST_SCORES:
        _wrong(place, f"{len(uncertain)} scores", f"at most {_MOST_SCORES} in one rule")


def _check_placeholders(message: str, expr: str, place: str, params: Mapping[str, Any]) -> None:
    scores = [reference for reference in references(expr) if reference.uncertain]
    allowed = [f"params.{name}" for name in params]
    allowed += _OF_SCORE if len(scores) == 1 else ()
    for name in _PLACEHOLDER.findall(message):
        if name not in allowed:
            _wrong(place, f"{{{name}}}", f"one of {', '.join(f'{{{a}}}' for a in allowed) or 'no placeholder at all'}")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", message)):
        _wrong(place, message, "every brace closed")


def _cases(found: Any, rules: Sequence[Rule]) -> tuple[Case, ...]:
    cases = tuple(_case(entry, place, rules) for place, entry in _entries(found, "tests"))
    _once([case.name for case in cases], "tests")
    for rule in rules:
        answers = {case.expect[rule.id] for case in cases if rule.id in case.expect}
        for words, kinds in _KINDS_OF_CASE:
            if not answers & kinds:
                _wrong(
                    f"tests of rule {rule.id}",
                    f"tests that expect {', '.join(sorted(answers)) or 'nothing of it'}",
                    f"also {words} case ({' or '.join(sorted(kinds))})",
                )
    return cases


def _case(found: Any, place: str, rules: Sequence[Rule]) -> Case:
    block = _mapping(found, place, required={"name", "set", "expect"})
    expect = _mapping(block["expect"], f"{place}.expect")
    names = [*(rule.id for rule in rules), WHOLE]
    for name, answer in expect.items():
        if name not in names:
            _wrong(f"{place}.expect", name, f"a rule's id or {WHOLE}{_near(name, names)}")
        if answer not in ANSWERS or (name == WHOLE and answer == "error"):
            _wrong(f"{place}.expect.{name}", answer, f"one of {', '.join(ANSWERS[: 3 if name == WHOLE else 4])}")
    if not expect:
        _wrong(f"{place}.expect", "nothing", "at least one rule's id with what comes of it")
    changes = _changes(_mapping(block["set"], f"{place}.set"), f"{place}.set", rules)
    return Case(_text(block["name"], f"{place}.name"), changes, expect)


def _changes(found: Mapping[str, Any], place: str, rules: Sequence[Rule]) -> dict[str, Json]:
    """The facts that a test sets, by variable name. A score may be set only where a rule names it: a slip shows."""
    scores = {f"{r.root}.{r.name}" for rule in rules for r in references(rule.expr) if r.root != "plain"}
    changes: dict[str, Json] = {}
    for written, value in found.items():
        name = written.replace("`", "")
        if name in scores:
            changes[name] = _score(value, f"{place}.{written}")
        elif name in PLAIN:
            changes[name] = _fact(value, PLAIN[name], f"{place}.{written}")
        else:
            names = [*scores, *PLAIN]
            _wrong(place, written, f"a fact, or a score that one of the rules names{_near(name, names)}")
    return changes


def _fact(value: Any, kind: Kind, place: str) -> Json:
    if kind is Kind.DOUBLE and fits(value, Kind.INT):
        value = float(value)
    if value is not None and not fits(value, kind):
        _wrong(place, value, f"null or a value of type {kind.value}")
    known: Json = value
    return known


def _score(value: Any, place: str) -> Json:
    """A score as an object with its bounds; one number stands for a score of 1,000 images without any spread."""
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"value": float(value), "ci_low": float(value), "ci_high": float(value), "n": 1000}
    block = _mapping(value, place, required={"value", "ci_low", "ci_high"}, optional={"n"})
    numbers = {key: _number(block[key], f"{place}.{key}") for key in ("value", "ci_low", "ci_high")}
    return {**numbers, "n": _count(block.get("n", 1000), f"{place}.n")}


def _entries(found: Any, place: str) -> list[tuple[str, Any]]:
    if not isinstance(found, list) or not found:
        _wrong(place, found, "a list with at least one entry")
    return [(f"{place}[{number}]", entry) for number, entry in enumerate(found)]


def _mapping(
    found: Any, place: str, *, required: set[str] | None = None, optional: set[str] | None = None
) -> dict[str, Any]:
    if not isinstance(found, dict):
        _wrong(place, found, "a mapping")
    if required is None:
        return found
    known = sorted(required | (optional or set()))
    for key in found:
        if key not in known:
            _wrong(place, f"the unknown key {key!r}", f"keys out of {', '.join(known)}{_near(key, known)}")
    missing = sorted(required - found.keys())
    if missing:
        _wrong(place, f"no {', '.join(missing)}", f"the keys {', '.join(sorted(required))}")
    return found


def _text(found: Any, place: str, *, longest: int = 500) -> str:
    if not isinstance(found, str) or not found.strip() or len(found) > longest:
        _wrong(place, found, f"a text of 1 to {longest} characters")
    return " ".join(found.split()) if "\n" in found else found


def _matching(pattern: re.Pattern[str], found: Any, place: str) -> str:
    if not isinstance(found, str) or pattern.fullmatch(found) is None:
        _wrong(place, found, f"a name that matches {pattern.pattern}")
    return found


def _count(found: Any, place: str) -> int:
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        _wrong(place, found, "a whole number, at least 1")
    return found


def _number(found: Any, place: str) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool):
        _wrong(place, found, "a number")
    return float(found)


def _once(names: Sequence[str], place: str) -> None:
    for name in names:
        if names.count(name) > 1:
            _wrong(place, f"{name!r} {names.count(name)} times", "each once")


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _wrong(place: str, found: Any, expected: str) -> NoReturn:
    shown = found if isinstance(found, str) else repr(found)
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    raise BadInput(CODE, f"{place}: found {shown} (expected {expected})", where=place, found=shown, expected=expected)
