"""The whole line, from training to a served image, as one small run shows it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest
from PIL import Image

from demo_stage import DemoRun, StartedDemo
from imprimatur.access.model import Principal, Role
from imprimatur.access.service import Accounts
from imprimatur.api.processes import Fleet, free_port
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.settings import Settings
from imprimatur.storage.service import SealedStore

pytestmark = pytest.mark.timeout(1_500)

_ADMIN = Principal("admin", frozenset({Role.ADMIN}), "platform")


def test_version_1_meets_the_policy_and_stands_in_production(demo_run: DemoRun) -> None:
    base = demo_run.version(1)
    assert (base["verdict"], base["reasons"], base["environments"]) == ("allow", [], ["production"])


def test_the_memoriser_is_denied_for_look_alikes_and_stands_nowhere(demo_run: DemoRun) -> None:
    memoriser = demo_run.version(2)
    assert (memoriser["verdict"], memoriser["environments"]) == ("deny", [])
    assert "look-alikes" in memoriser["reasons"]


def test_the_skewed_model_is_denied_for_balance_and_stands_nowhere(demo_run: DemoRun) -> None:
    skewed = demo_run.version(3)
    assert (skewed["verdict"], skewed["environments"]) == ("deny", [])
    assert "balance" in skewed["reasons"]


def test_every_score_has_an_interval_around_it_and_a_number_of_images(demo_run: DemoRun) -> None:
    scores = [score for model in demo_run.document["models"] for score in model["scores"].values()]
    assert len(scores) >= 3 * 7
    assert all(score["ci_low"] <= score["value"] <= score["ci_high"] and score["n"] > 0 for score in scores)


def test_every_version_cost_something_in_training_and_evaluation(demo_run: DemoRun) -> None:
    for model in demo_run.document["models"]:
        assert model["cost"]["training"] > 0
        assert model["cost"]["evaluation"] > 0
    assert demo_run.version(1)["cost"]["serving"] > 0


def test_version_2_was_refused_through_every_way(demo_run: DemoRun) -> None:
    refusals = {refusal["via"]: refusal for refusal in demo_run.document["refusals"]}
    assert {via: (r["version"], r["status"]) for via, r in refusals.items()} == {
        "cli": (2, 403),
        "mlflow": (2, 403),
        "gateway": (2, 403),
    }
    assert refusals["cli"]["code"] == "verdict-deny"
    assert "protected-alias" in refusals["mlflow"]["message"]
    assert refusals["gateway"]["code"] == "not-released"


def test_ten_images_and_a_contact_sheet_were_written(demo_run: DemoRun) -> None:
    for path in demo_run.document["images"]:
        with Image.open(path) as image:
            assert image.size == (32, 32)
    assert len(demo_run.document["images"]) == 10
    assert Path(demo_run.document["contact_sheet"]).is_file()


def test_the_audit_log_of_the_run_is_whole(demo_run: DemoRun) -> None:
    done = _command("audit", "verify", "--json", home=demo_run.home)
    assert done.returncode == 0, done.stdout


def test_the_demo_touches_no_home_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    done = _command("demo", "--json", home=tmp_path)
    assert (done.returncode, "home-in-use" in done.stdout) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@pytest.fixture
def page(demo_run: DemoRun, demo_fleet: Fleet) -> Iterator[httpx.Client]:
    """A browser's requests, logged in by a link as the admin."""
    database = Database(Settings(home=demo_run.home).database)
    accounts = Accounts(AuditLog(database), Settings().session_length)
    accounts.bootstrap("admin")
    token = accounts.login_link_token("admin")
    database.dispose()
    with httpx.Client(base_url=demo_fleet.server_address, follow_redirects=True) as client:
        assert client.get("/login", params={"token": token}).status_code == 200
        yield client


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "digits"),
        ("/models/digits", "production"),
        ("/models/digits/versions/1", "Meets policy"),
        ("/models/digits/versions/2", "Does not meet policy"),
        ("/models/digits/versions/3", "Does not meet policy"),
        ("/inbox", "Inbox"),
        ("/quality", "digits"),
        ("/costs", "serving"),
        ("/audit", "release.promoted"),
        ("/mlflow/", "MLflow"),
    ],
)
def test_each_page_of_the_home_has_something_to_say(page: httpx.Client, path: str, words: str) -> None:
    answer = page.get(path)
    assert answer.status_code == 200
    assert words.lower() in answer.text.lower()


def test_released_digits_go_on_being_served_after_a_restart(demo_fleet: Fleet, game: openai.OpenAI) -> None:
    answer = game.images.generate(model="digits", prompt="a handwritten seven", extra_body={"seed": 7})
    assert answer.data is not None
    assert len(answer.data) == 1


@pytest.fixture
def game(demo_run: DemoRun, demo_fleet: Fleet) -> openai.OpenAI:
    """An application with a key of its own."""
    return _application(demo_run.home, demo_fleet)


def test_one_changed_byte_of_a_sealed_file_is_named_and_nothing_is_served(demo_run: DemoRun, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(demo_run.home, home)
    unet = _blob_of(home, demo_run.version(1)["digest"], "unet/diffusion_pytorch_model.safetensors")
    unet.chmod(0o600)
    data = bytearray(unet.read_bytes())
    data[-1] ^= 1
    unet.write_bytes(data)
    with Fleet(Settings(home=home, port=free_port(), gateway_port=free_port())) as fleet:
        fleet.start_server()
        fleet.start_gateway().wait_for(f"{fleet.gateway_address}/readyz")
        with pytest.raises(openai.APIStatusError) as refused:
            _application(home, fleet).images.generate(model="digits", prompt="a handwritten seven")
    assert refused.value.code == "file-changed"
    assert "unet/diffusion_pytorch_model.safetensors" in str(refused.value)


@pytest.mark.proof_only
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_full_demo_holds_for_any_seed(seed: int, request: pytest.FixtureRequest) -> None:
    started = StartedDemo("--seed", str(seed))
    request.addfinalizer(started.stop)
    run = started.finish()
    verdicts = {model["version"]: model["verdict"] for model in run.document["models"]}
    assert verdicts == {1: "allow", 2: "deny", 3: "deny"}
    assert "look-alikes" in run.version(2)["reasons"]
    assert "balance" in run.version(3)["reasons"]
    assert len(run.document["images"]) == 10


def _application(home: Path, fleet: Fleet) -> openai.OpenAI:
    """A client of the gateway with a fresh key that the gateway's next bundle names."""
    database = Database(Settings(home=home).database)
    key = Accounts(AuditLog(database), Settings().session_length).issue_token(_ADMIN, "arithmetic-game", "test")
    database.dispose()
    client = openai.OpenAI(base_url=f"{fleet.gateway_address}/v1", api_key=key, max_retries=0)
    _wait_until_known(client)
    return client


def _wait_until_known(client: openai.OpenAI) -> None:
    """Return once the gateway pulled a bundle that names the client's key."""
    deadline = time.monotonic() + 30
    while True:
        try:
            client.models.list()
        except openai.AuthenticationError:
            assert time.monotonic() < deadline, "the gateway never learned of the new key"
            time.sleep(0.2)
        else:
            return


def _blob_of(home: Path, manifest: str, path: str) -> Path:
    """The file in the sealed store that holds one file of a version."""
    sealed = SealedStore(Settings(home=home).sealed)
    (file,) = (file for file in sealed.manifest(manifest).files if file.path.endswith(path))
    return sealed.blob_path(file.digest)


def _command(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "imprimatur.cli.main", *arguments],
        env={**os.environ, "IMPRIMATUR_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
