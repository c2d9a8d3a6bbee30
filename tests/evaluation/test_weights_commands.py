"""``imprimatur weights``: what is known, what is there, and who vouches for each digest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from typer.testing import CliRunner, Result

from imprimatur.core.errors import BadInput
from imprimatur.core.settings import Settings
from imprimatur.evaluation.weights_commands import app
from imprimatur_evaluators.backbones.catalogue import Catalogue
from imprimatur_evaluators.backbones.published import PUBLISHED
from imprimatur_evaluators.errors import BadWeights
from weights_server import WeightsServer, weights_server

FILE = save({"w": np.arange(500, dtype=np.float32)})
DIGEST = f"sha256:{sha256(FILE).hexdigest()}"
NAME = "dinov2-vit-s-14"


@pytest.fixture(autouse=True)
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("IMPRIMATUR_HOME", str(settings.home))
    return settings


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    """A hub on this machine that has one known network."""
    with weights_server() as served:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        served.files[PUBLISHED[NAME].addresses[0].removeprefix(served.address)] = FILE
        yield served


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def _document(*arguments: str | Path) -> dict[str, Any]:
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def test_a_new_catalogue_lists_what_is_known_with_licence_source_and_published_digest() -> None:
    found = _document("list")
    assert found["weights"] == []
    known = {each["name"]: each for each in found["known"]}
    assert known["inception-2015"]["published_digest"].startswith("sha256:6726825d")
    assert known["sscd-disc-mixup"]["published_digest"] is None
    assert known["openai-clip-vit-l-14-336"]["source"] == "open_clip:ViT-L-14-336/openai"
    assert all(each["licence"] for each in known.values() if "licence" in each)
    assert "inception-2015" in _run("list").stdout


def test_what_was_fetched_says_that_its_digest_is_of_the_first_fetch(hub: WeightsServer) -> None:
    fetched = _document("fetch", NAME)
    assert (fetched["digest"], fetched["digest_origin"], fetched["licence"]) == (DIGEST, "first-fetch", "Apache-2.0")
    listed = _document("list")
    assert [each["name"] for each in listed["weights"]] == [NAME]
    assert NAME not in [each["name"] for each in listed["known"]]
    assert _document("verify", NAME)["verified"] is True
    assert "recorded at the first fetch" in " ".join(_run("fetch", NAME).stdout.split())
    assert len(hub.asked) == 1
    _document("fetch", NAME, "--again")
    assert len(hub.asked) == 2


def test_a_later_fetch_that_differs_is_refused(hub: WeightsServer) -> None:
    _document("fetch", NAME)
    hub.files = dict.fromkeys(hub.files, save({"w": np.zeros(500, dtype=np.float32)}))
    refused = _run("fetch", NAME, "--again").exception
    assert isinstance(refused, BadWeights)
    assert refused.code == "digest-differs"
    assert _document("verify", NAME)["digest"] == DIGEST


def test_known_weights_are_imported_by_name_and_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(FILE)
    found = _document("import", NAME, tmp_path)
    assert (found["digest"], found["digest_origin"], found["architecture"]) == (DIGEST, "import", "dinov2")


def _own(tmp_path: Path) -> tuple[Path, Path]:
    config, file = tmp_path / "own.json", tmp_path / "own.safetensors"
    config.write_text(json.dumps({"architecture": "open-clip"}))
    file.write_bytes(FILE)
    return config, file


def test_weights_of_ones_own_need_a_configuration_a_licence_and_a_source(home: Settings, tmp_path: Path) -> None:
    config, file = _own(tmp_path)
    whole = ("import", "own", file, "--config", config, "--licence", "MIT", "--source", "https://example.org")
    assert _document(*whole)["licence"] == "MIT"
    assert Catalogue(home.weights).verify("own").digest == DIGEST
    refused = _run("import", "own", file, "--config", config, "--licence", "MIT").exception
    assert isinstance(refused, BadInput)
    assert refused.code == "no-provenance"
    refused = _run("import", NAME, file, "--licence", "MIT").exception
    assert isinstance(refused, BadInput)
    assert refused.code == "no-config"


@pytest.mark.parametrize("name", ["inception-2015", "openai-clip-vit-l-14", "open_clip:ViT-B-32/openai"])
def test_no_other_network_takes_the_name_of_a_published_one(tmp_path: Path, name: str) -> None:
    config, file = _own(tmp_path)
    refused = _run(
        "import", name, file, "--config", config, "--licence", "MIT", "--source", "https://example.org"
    ).exception
    assert isinstance(refused, BadInput)
    assert refused.code == "reserved-name"


@pytest.mark.parametrize("text", ["[]", "nothing"])
def test_a_configuration_that_is_no_json_object_is_told(tmp_path: Path, text: str) -> None:
    config, file = _own(tmp_path)
    config.write_text(text)
    refused = _run("import", "own", file, "--config", config, "--licence", "MIT", "--source", "us").exception
    assert isinstance(refused, BadInput)
    assert refused.code == "bad-config"
