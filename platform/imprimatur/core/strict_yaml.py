"""YAML with one meaning only: what YAML adds to JSON and a reader could mistake is refused.

No duplicate keys, anchors, aliases, tags or merge keys; ``yes`` and ``010`` are text; NaN and infinities are refused.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from imprimatur.core.errors import BadInput

_LARGEST = 256 * 1024
_DEEPEST = 20
_MAP = "tag:yaml.org,2002:map"
_SEQUENCE = "tag:yaml.org,2002:seq"
_BOOL = re.compile(r"true|false")
_NULL = re.compile(r"null|~|")
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|nan)", re.IGNORECASE)
_JSON_SAFE = 2**53


class _Loader(yaml.SafeLoader):
    """Resolves nothing by itself: every plain scalar stays text until ``_scalar`` reads it."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML reads it from the class


def load(text: str, code: str) -> Any:
    """The document in ``text``. Raises BadInput ``code`` with line and column of what is wrong."""
    if len(text.encode("utf-8", "replace")) > _LARGEST:
        raise BadInput(code, f"The document is too long (got {len(text):,} characters, expected at most {_LARGEST:,})")
    try:
        _refuse_anchors(text, code)
        root = yaml.compose(text, _Loader)
    except yaml.YAMLError as error:
        raise BadInput(code, f"This is no YAML: {' '.join(str(error).split())} (expected one YAML document)") from error
    if root is None:
        raise BadInput(code, "The document is empty (expected a mapping)")
    return _value(root, code)


def _refuse_anchors(text: str, code: str) -> None:
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise BadInput(code, f"{_place(event)}: found an anchor or alias (expected every value written out)")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise BadInput(code, f"{_place(event)}: nested deeper than {_DEEPEST} levels (expected a flat document)")


def _value(node: yaml.Node, code: str) -> Any:
    if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
        return _mapping(node, code)
    if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
        return [_value(item, code) for item in node.value]
    if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:str":
        return node.value if node.style else _scalar(node, code)
    raise BadInput(code, f"{_place(node)}: found the tag {node.tag} (expected plain YAML without tags)")


def _mapping(node: yaml.MappingNode, code: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != "tag:yaml.org,2002:str":
            raise BadInput(code, f"{_place(key_node)}: found a key that is no text (expected text)")
        if key_node.value in mapping:
            raise BadInput(code, f"{_place(key_node)}: found the key {key_node.value!r} twice (expected it once)")
        mapping[key_node.value] = _value(value_node, code)
    return mapping


def _scalar(node: yaml.ScalarNode, code: str) -> str | int | float | bool | None:
    text: str = node.value
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text == "true"
    if _INT.fullmatch(text):
        return _finite(int(text) if len(text) < 20 else math.inf, node, code)
    if _FLOAT.fullmatch(text):
        return _finite(float(text), node, code)
    if _NO_NUMBER.fullmatch(text):
        raise BadInput(code, f"{_place(node)}: found {text} (expected a finite number)")
    return text


def _finite(number: int | float, node: yaml.ScalarNode, code: str) -> int | float:
    if not math.isfinite(number) or (isinstance(number, int) and abs(number) > _JSON_SAFE):
        raise BadInput(code, f"{_place(node)}: found {node.value} (expected a finite number, integers up to 2^53)")
    return number


def _place(marked: Any) -> str:
    mark = marked.start_mark
    return f"line {mark.line + 1}, column {mark.column + 1}"
