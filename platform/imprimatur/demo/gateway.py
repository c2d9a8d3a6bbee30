"""The application's side: an unchanged ``openai`` client that asks the gateway for digits."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import openai

from imprimatur.core.errors import Fault
from imprimatur.demo.digits import NAMES, caption
from imprimatur.demo.gallery import contact_sheet
from imprimatur.demo.model import ENVIRONMENT, MODEL
from imprimatur.demo.stage import Stage

_READY_SECONDS = 60.0


def connect(stage: Stage) -> openai.OpenAI:
    """A client of the gateway, once it is up and holds a bundle. Raises Fault ``gateway-not-ready``."""
    with stage.step("Start the gateway", 1) as step:
        process = stage.fleet.start_gateway()
        process.wait_for(f"{stage.fleet.gateway_address}/readyz")
        step.advance()
    return openai.OpenAI(base_url=f"{stage.fleet.gateway_address}/v1", api_key=stage.cast.game, max_retries=0)


def ask_for_digits(stage: Stage, client: openai.OpenAI) -> list[Path]:
    """One image of each digit, as PNG files in the home folder."""
    folder = stage.settings.home / "images"
    folder.mkdir()
    images = []
    with stage.step("Ask for ten digits", len(NAMES)) as step:
        for label, name in enumerate(NAMES):
            answer = client.images.generate(model=MODEL, prompt=caption(label), extra_body={"seed": stage.seed + label})
            target = folder / f"{label}-{name}.png"
            target.write_bytes(base64.b64decode(_only(answer)))
            images.append(target)
            step.advance()
    return images


def draw(stage: Stage, images: Sequence[Path]) -> Path:
    """The contact sheet of the served images."""
    title = f"{MODEL}@{ENVIRONMENT}: one image of each digit, as served"
    return contact_sheet(images, list(NAMES), title, stage.settings.home / "images" / "contact-sheet.png")


def _only(answer: openai.types.ImagesResponse) -> str:
    (image,) = answer.data or []
    if image.b64_json is None:
        raise Fault("no-image", "The gateway answered without an image (expected b64_json)")
    return image.b64_json
