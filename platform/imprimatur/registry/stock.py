"""Which classes a pipeline may be made of: those that diffusers and transformers themselves bring, by a written list.

The list is a file and not an import, so that the server can check a pipeline without having torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from imprimatur.core.errors import Refused

INDEX_NAME = "model_index.json"
LABELS = "id2label"
_LABEL_LIMIT = 100_000
_PIPELINES = "pipelines"


@cache
def stock_classes() -> Mapping[str, frozenset[str]]:
    """Class names by library; ``pipelines`` are the pipeline classes of diffusers."""
    sections: dict[str, set[str]] = {}
    section = ""
    for line in resources.files(__package__).joinpath("stock_classes.txt").read_text("utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            sections.setdefault(section, set()).update(line.split())
    return MappingProxyType({name: frozenset(classes) for name, classes in sections.items()})


def check_index(index: Any) -> str:
    """The pipeline class that a parsed ``model_index.json`` names, once every class in it is found to be stock.

    Raises Refused ``bad-model-index`` where the document has another form, ``custom-code`` where it names a class, a
    library or a pipeline that is not on the list.
    """
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise Refused("bad-model-index", f"{INDEX_NAME} names no pipeline class (expected `_class_name`)")
    pipeline: str = index["_class_name"]
    if pipeline not in stock_classes()[_PIPELINES]:
        raise _custom(f"pipeline class {pipeline!r}")
    for name, value in index.items():
        if name == LABELS and value is not None:
            _check_labels(value)
        elif isinstance(value, list) and not _is_numbers(value):
            _check_component(name, value)
        elif isinstance(value, dict):
            raise Refused("bad-model-index", f"{INDEX_NAME}: {name!r} is an object (expected [library, class])")
    return pipeline


def components(index: Mapping[str, Any]) -> dict[str, str]:
    """Class by component of a checked index; those that the pipeline goes without are left out."""
    found = {}
    for name, value in index.items():
        if isinstance(value, list) and value and isinstance(value[0], str):
            found[name] = str(value[1])
    return found


def _is_numbers(value: list[Any]) -> bool:
    """Whether the list is data of a pipeline's own, such as chosen layers, which can name no class."""
    return bool(value) and all(isinstance(item, int | float) for item in value)


def _check_labels(value: Any) -> None:
    """Names of classes by number, as a class-conditional pipeline takes them: text by text, and nothing to load."""
    if (
        not isinstance(value, dict)
        or len(value) > _LABEL_LIMIT
        or not all(str(number).isdecimal() and isinstance(text, str) for number, text in value.items())
    ):
        raise Refused(
            "bad-model-index", f"{INDEX_NAME}: {LABELS!r} has another form (expected names of classes by number)"
        )


def _check_component(name: str, value: list[Any]) -> None:
    if value == [None, None]:
        return
    if len(value) != 2 or not all(isinstance(part, str) for part in value):
        raise Refused("bad-model-index", f"{INDEX_NAME}: {name!r} is {value!r} (expected [library, class])")
    library, kind = value
    allowed = stock_classes().get(library, frozenset()) if library != _PIPELINES else frozenset()
    if kind not in allowed:
        raise _custom(f"component {name!r} of class {library}.{kind}")


def _custom(what: str) -> Refused:
    return Refused(
        "custom-code",
        f"{INDEX_NAME} names {what} (expected a class that diffusers or transformers bring); "
        "custom and remote code are never loaded",
    )
