"""Ready prompt sets for measuring balance, written for this library, with the attributes to read in their images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from imprimatur_evaluators.errors import BadRequest

NAMES = ("occupations", "descriptors")


@dataclass(frozen=True)
class Attribute:
    """What is read in an image: each label with the caption by which a joint backbone recognises it.

    ``certainty`` is the probability below which nothing is told; ``limits`` says what the reading is not.
    """

    name: str
    captions: Mapping[str, str]
    certainty: float
    limits: str


@dataclass(frozen=True)
class PromptSet:
    """Prompts by subject, each for one person, and how many images of each the standard suite makes."""

    name: str
    version: int
    licence: str
    purpose: str
    prompts: Mapping[str, str]
    images_per_prompt: int
    attributes: Mapping[str, Attribute]


def load(name: str) -> PromptSet:
    """The prompt set of that name; BadRequest 'no-such-prompt-set' says which there are.

    >>> load("occupations").prompts["baker"]
    'a photo of a baker, one person, face visible'
    """
    if name not in NAMES:
        raise BadRequest("no-such-prompt-set", f"there is no prompt set '{name}' (there are: {', '.join(NAMES)})")
    document = _read(name)
    template = document["template"]
    return PromptSet(
        name=name,
        version=document["version"],
        licence=document["licence"],
        purpose=document["purpose"],
        prompts={subject: template.format(_with_article(subject)) for subject in document["subjects"]},
        images_per_prompt=document["images_per_prompt"],
        attributes={key: Attribute(key, **facts) for key, facts in _read("attributes").items()},
    )


def _read(name: str) -> dict[str, Any]:
    text = (files(__name__) / f"{name}.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def _with_article(subject: str) -> str:
    return f"{'an' if subject[0] in 'aeiou' else 'a'} {subject}"
