"""``imprimatur score`` on folders of real digits, with a real network of random weights, and no server anywhere."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from imprimatur.cli.main import main
from imprimatur_evaluators.backbones import Catalogue
from imprimatur_evaluators.backbones.open_clip_model import SMALL_DIGITS, build

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of digits as PNG files with their prompts, and a catalogue with one network."""
    root = tmp_path_factory.mktemp("score")
    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.images))
    pixels = np.round(loaded.images[order] / 16 * 255).astype(np.uint8)
    prompts = {}
    for number, image in enumerate(pixels[:260]):
        folder = root / ("images" if number < 120 else "real" if number < 250 else "works")
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).convert("RGB").save(folder / f"{number:04}.png")
        if number < 120:
            prompts[f"{number:04}.png"] = f"a handwritten {WORDS[loaded.target[order][number]]}"
    (root / "prompts.json").write_text(json.dumps(prompts))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = {name: tensor.contiguous() for name, tensor in build(SMALL_DIGITS).state_dict().items()}
    save_file(state, root / "net.safetensors")
    Catalogue(root / "weights").add(
        "net", root / "net.safetensors", SMALL_DIGITS, licence="CC0-1.0", source="random numbers"
    )
    return root


class Terminal:
    """Runs the command as a terminal does, and keeps what it said."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._place, self._monkeypatch, self._capsys = place, monkeypatch, capsys

    def run(self, *words: str, metrics: str = "kernel/net") -> tuple[int, str]:
        """The exit status, and what stood on standard output."""
        common = ["--images", "images", "--reference", "real", "--metrics", metrics, "--weights", "weights"]
        self._monkeypatch.chdir(self._place)
        self._monkeypatch.setattr(sys, "argv", ["imprimatur", "score", *common, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), self._capsys.readouterr().out

    def document(self, *words: str, metrics: str = "kernel/net", status: int = 0) -> dict[str, Any]:
        """The one JSON document that it prints."""
        found, printed = self.run("--json", *words, metrics=metrics)
        assert found == status, printed
        document: dict[str, Any] = json.loads(printed)
        return document


@pytest.fixture
def terminal(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(place, monkeypatch, capsys)


def test_a_table_shows_each_score_with_its_interval(terminal: Terminal) -> None:
    status, printed = terminal.run(metrics="kernel/net,density/net,coverage/net")
    assert status == 0
    assert all(name in printed for name in ("kernel/net", "density/net", "coverage/net", "95% interval", "lower"))


def test_json_says_how_each_number_was_measured(terminal: Terminal) -> None:
    metrics = "frechet/net,alignment/net,cosine/net,similarity/net"
    words = ("--prompts", "prompts.json", "--calibration", "real", "--protected", "works")
    found = terminal.document(*words, metrics=metrics)
    assert [score["name"] for score in found["scores"]] == metrics.split(",")
    for score in found["scores"]:
        assert score["ci_low"] <= score["value"] <= score["ci_high"]
        assert (score["n"], score["backbone"], score["seed"]) == (120, "net", 0)
        assert score["weights_digest"].startswith("sha256:")
    assert len(found["pairs"]) == 20
    assert found["skipped"] == {}


def test_a_second_run_says_the_same(terminal: Terminal) -> None:
    assert terminal.document() == terminal.document("--workers", "1") == terminal.document("--cache", "elsewhere")


def test_a_bad_image_is_named_and_refused_or_listed(terminal: Terminal, place: Path) -> None:
    bad = place / "images" / "bad.png"
    bad.write_bytes(b"not an image")
    try:
        refused = terminal.document(status=1)
        skipped = terminal.document("--skip-bad")
    finally:
        bad.unlink()
    assert refused["error"]["code"] == "not-an-image"
    assert "bad.png" in refused["error"]["message"]
    assert [each["name"] for each in skipped["skipped"]["images"]] == ["bad.png"]
    assert skipped["scores"] == terminal.document()["scores"]


def test_too_few_images_say_how_many_are_needed(terminal: Terminal, place: Path) -> None:
    few = place / "few"
    few.mkdir(exist_ok=True)
    (few / "one.png").write_bytes((place / "images" / "0000.png").read_bytes())
    error = terminal.document("--images", "few", status=1)["error"]
    assert (error["code"], error["found"], error["needed"]) == ("too-few-images", 1, 20)


@pytest.mark.parametrize(
    ("words", "metrics", "code"),
    [
        ((), "fidelity", "unknown-metric"),
        ((), "kernel", "no-backbone"),
        ((), ",", "no-metrics"),
        ((), "kernel/other", "no-such-backbone"),
        ((), "alignment/net", "missing-prompts"),
        (("--prompts", "weights/catalogue.json"), "alignment/net", "bad-prompts"),
        (("--prompts", "nowhere.csv"), "alignment/net", "bad-prompts"),
        (("--images", "nowhere"), "kernel/net", "no-images"),
        (("--options", "prompts.json"), "kernel/net", "bad-options"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(
    words: tuple[str, ...], metrics: str, code: str, terminal: Terminal
) -> None:
    assert terminal.document(*words, metrics=metrics, status=2)["error"]["code"] == code


def test_an_image_without_a_prompt_is_named(terminal: Terminal, place: Path) -> None:
    (place / "half.csv").write_text("name,prompt\n0000.png,a handwritten one\n")
    error = terminal.document("--prompts", "half.csv", metrics="alignment/net", status=2)["error"]
    assert error["code"] == "prompts-do-not-fit"
    assert "119 of 120" in error["message"]
