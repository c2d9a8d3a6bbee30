"""The gateway behind a real port, asked by the real ``openai`` client."""

from __future__ import annotations

import base64
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from gateway_stage import Stage
from imprimatur.core.digests import digest_of_bytes
from imprimatur.core.keychain import SUCCESSION_TYPE, rotate
from imprimatur.core.signing import Envelope, KeyRing, SigningKey
from imprimatur.serving.imaging import IMAGE_TYPE, TEXT_KEY
from imprimatur.serving.spool import Served
from signed_bundles import approval, release_entry, wait_until

PROMPT = "a digit two"
DRAW = {"seed": 7, "steps": 2}


def test_an_image_is_drawn_and_says_where_it_comes_from(stage: Stage) -> None:
    client = stage.start()
    answer = client.images.generate(model="digits", prompt=PROMPT, n=2, extra_body=DRAW)
    origin = (answer.model_extra or {})["x_imprimatur"]
    assert (origin["version"], origin["manifest_digest"]) == (1, stage.sealed.first)
    assert (origin["decision_id"], origin["environment"], origin["seed"]) == ("dec-1", "production", 7)
    assert answer.size == "16x16"
    assert answer.data is not None
    first, second = (base64.b64decode(str(image.b64_json)) for image in answer.data)
    picture = Image.open(io.BytesIO(first))
    assert (picture.size, picture.format) == ((16, 16), "PNG")
    assert json.loads(picture.text[TEXT_KEY])["manifest_digest"] == stage.sealed.first  # type: ignore[attr-defined]
    assert first != second


def test_an_image_is_signed_with_its_digest_and_manifest(stage: Stage) -> None:
    client = stage.start()
    image = _one(client)
    signed = image["x_imprimatur"]
    ring = KeyRing(httpx.get(f"{stage.address}/v1/keys").json()["keys"])
    statement = ring.open(Envelope.parse(signed["signature"]), IMAGE_TYPE)
    assert statement["image_digest"] == digest_of_bytes(base64.b64decode(image["b64_json"])) == signed["image_digest"]
    assert statement["manifest_digest"] == stage.sealed.first
    assert statement["seed"] == 7


@pytest.mark.parametrize("form", ["webp", "jpeg"])
def test_other_formats_carry_their_origin_too(stage: Stage, form: Any) -> None:
    client = stage.start()
    answer = client.images.generate(
        model="digits", prompt=PROMPT, output_format=form, output_compression=40, extra_body=DRAW
    )
    assert answer.data is not None
    picture = Image.open(io.BytesIO(base64.b64decode(str(answer.data[0].b64_json))))
    assert picture.format == form.upper()
    assert json.loads(picture.getexif()[0x010E])["decision_id"] == "dec-1"


def test_the_same_seed_draws_the_same_image_and_each_image_of_a_request_has_its_own(stage: Stage) -> None:
    client = stage.start()
    several = client.images.generate(model="digits", prompt=PROMPT, n=3, extra_body=DRAW)
    alone = client.images.generate(model="digits", prompt=PROMPT, extra_body={**DRAW, "seed": 9})
    assert several.data is not None
    assert alone.data is not None
    assert np.abs(_pixels(several.data[2]) - _pixels(alone.data[0])).max() <= 1
    assert np.abs(_pixels(several.data[0]) - _pixels(alone.data[0])).max() > 1


def test_requests_at_the_same_time_share_batches_and_each_gets_its_own_image(stage: Stage) -> None:
    client = stage.start(serve_wait_milliseconds=60.0)
    alone = {seed: _one(client, seed=seed) for seed in range(6)}
    with ThreadPoolExecutor(6) as pool:
        together = dict(zip(range(6), pool.map(lambda seed: _one(client, seed=seed), range(6)), strict=True))
    for seed in range(6):
        assert np.abs(_pixels(alone[seed]) - _pixels(together[seed])).max() <= 1
    largest = _metric(stage, 'imprimatur_gateway_batch_images_bucket{le="1.0"}')
    assert largest < _metric(stage, "imprimatur_gateway_batch_images_count")


def test_the_answer_says_when_the_model_reads_only_the_beginning_of_the_prompt(stage: Stage) -> None:
    client = stage.start()
    answers = [client.images.generate(model="digits", prompt=text, extra_body=DRAW) for text in ("two", "two " * 20)]
    assert [(answer.model_extra or {})["x_imprimatur"]["prompt_cut"] for answer in answers] == [False, True]


def test_only_released_models_are_listed(stage: Stage) -> None:
    stage.release(
        release_entry(stage.key, stage.sealed.first),
        release_entry(stage.key, stage.sealed.second, id="dec-2", version=2, environment="staging"),
        release_entry(stage.key, stage.sealed.second, id="dec-3", version=3, environment="canary", verdict="deny"),
    )
    client = stage.start()
    assert [model.id for model in client.models.list()] == ["digits", "digits@staging"]
    assert client.models.retrieve("digits").id == "digits"
    answer = client.images.generate(model="digits@staging", prompt=PROMPT, extra_body=DRAW)
    assert (answer.model_extra or {})["x_imprimatur"]["version"] == 2


@pytest.mark.parametrize("token", ["imp_unknown", "x"])
def test_an_unknown_key_is_refused(stage: Stage, token: str) -> None:
    stage.start()
    with pytest.raises(openai.AuthenticationError) as refused:
        _one(stage.client(token))
    assert refused.value.code == "bad-api-key"
    assert refused.value.request_id


def test_no_key_is_refused_before_the_request_is_read(stage: Stage) -> None:
    stage.start()
    answer = httpx.post(f"{stage.address}/v1/images/generations", content=b"{")
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "no-api-key")
    assert httpx.get(f"{stage.address}/v1/models").status_code == 401


def test_a_version_that_is_not_released_is_refused_with_a_sentence(stage: Stage) -> None:
    client = stage.start()
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.images.generate(model="digits/2", prompt=PROMPT)
    assert refused.value.code == "not-released"
    assert refused.value.param == "model"
    assert "digits/1 in production" in refused.value.message


def test_the_exact_released_version_is_served(stage: Stage) -> None:
    client = stage.start()
    answer = client.images.generate(model="digits/1", prompt=PROMPT, extra_body=DRAW)
    assert (answer.model_extra or {})["x_imprimatur"]["version"] == 1


def test_an_unknown_model_is_not_found(stage: Stage) -> None:
    client = stage.start()
    with pytest.raises(openai.NotFoundError) as refused:
        client.images.generate(model="letters", prompt=PROMPT)
    assert refused.value.code == "no-such-model"


def test_one_changed_byte_is_refused_and_the_file_is_named(stage: Stage) -> None:
    changed = _change_one_byte(stage, "unet/diffusion_pytorch_model.safetensors")
    client = stage.start()
    with pytest.raises(openai.ConflictError) as refused:
        client.images.generate(model="digits", prompt=PROMPT)
    assert refused.value.code == "file-changed"
    assert changed in refused.value.message
    assert _served(stage) == []


def test_a_missing_file_is_refused_and_named(stage: Stage) -> None:
    path = _blob_of(stage, "vae/config.json")
    path.parent.chmod(0o755)
    path.unlink()
    client = stage.start()
    with pytest.raises(openai.ConflictError) as refused:
        client.images.generate(model="digits", prompt=PROMPT)
    assert refused.value.code == "file-changed"
    assert "vae/config.json" in refused.value.message


def test_a_revoked_digest_is_dropped_with_the_next_bundle(stage: Stage) -> None:
    entry = release_entry(stage.key, stage.sealed.first)
    client = stage.start()
    _one(client)
    wait_until(lambda: _metric(stage, "imprimatur_gateway_loaded_models") == 1)
    stage.release(entry, revoked=(stage.sealed.first,))
    stage.server.wait_for_pull()
    with pytest.raises(openai.PermissionDeniedError) as refused:
        _one(client)
    assert refused.value.code == "revoked"
    assert _metric(stage, "imprimatur_gateway_loaded_models") == 0


def test_images_of_a_version_that_is_revoked_while_they_are_drawn_are_thrown_away(stage: Stage) -> None:
    client = stage.start()
    _one(client)
    with ThreadPoolExecutor(1) as pool:
        long = {**DRAW, "steps": 80}
        asked = pool.submit(client.images.generate, model="digits", prompt=PROMPT, extra_body=long)
        time.sleep(0.15)
        stage.release(release_entry(stage.key, stage.sealed.first), revoked=(stage.sealed.first,))
        with pytest.raises(openai.PermissionDeniedError, match="taken back while your images were drawn"):
            asked.result()
    assert len(_served(stage)) == 1


def test_a_new_release_takes_the_old_ones_place(stage: Stage) -> None:
    client = stage.start()
    _one(client)
    stage.release(release_entry(stage.key, stage.sealed.second, id="dec-2", version=2))
    stage.server.wait_for_pull()
    answer = client.images.generate(model="digits", prompt=PROMPT, extra_body=DRAW)
    assert (answer.model_extra or {})["x_imprimatur"]["version"] == 2
    with pytest.raises(openai.PermissionDeniedError):
        client.images.generate(model="digits/1", prompt=PROMPT)


def test_the_gateway_goes_on_without_the_server_until_the_bundle_expires(stage: Stage) -> None:
    client = stage.start()
    stage.server.document = {}
    stage.server.wait_for_pull()
    stage.clock.forward(minutes=59)
    _one(client)
    assert httpx.get(f"{stage.address}/readyz").status_code == 200
    stage.clock.forward(minutes=1)
    with pytest.raises(openai.InternalServerError) as refused:
        _one(client)
    assert (refused.value.status_code, refused.value.code) == (503, "bundle-expired")
    assert refused.value.response.headers["retry-after"]
    assert httpx.get(f"{stage.address}/readyz").status_code == 503


def test_a_tampered_bundle_is_not_taken(stage: Stage) -> None:
    client = stage.start()
    genuine = stage.server.document
    stage.release(release_entry(stage.key, stage.sealed.second, id="dec-2", version=2))
    forged = dict(stage.server.document, signatures=genuine["signatures"])
    stage.server.document = forged
    stage.server.wait_for_pull()
    answer = client.images.generate(model="digits", prompt=PROMPT, extra_body=DRAW)
    assert (answer.model_extra or {})["x_imprimatur"]["version"] == 1
    assert "does not match" in httpx.get(f"{stage.address}/readyz").json()["last_pull"]


def test_a_key_that_succeeded_the_known_one_is_followed(stage: Stage) -> None:
    client = stage.start()
    entry = release_entry(stage.key, stage.sealed.second, id="dec-2", version=2)
    chain = rotate(stage.settings.decision_private, stage.clock.now)
    stage.server.successions = list(chain.statements)
    stage.key = chain.current
    stage.release(entry)  # decided with the old key, bundled with the new one
    stage.server.wait_for_pull()
    assert _served_version(client) == 2


def test_a_key_that_nobody_known_vouched_for_is_not(stage: Stage) -> None:
    client = stage.start()
    stranger = SigningKey.generate()
    statement = {"old": stage.key.public, "new": stranger.public, "at": "2026-11-26T00:00:00Z"}
    stage.server.successions = [stranger.sign(SUCCESSION_TYPE, statement).document()]
    stage.key = stranger
    stage.release(release_entry(stranger, stage.sealed.second, id="dec-2", version=2))
    stage.server.wait_for_pull()
    assert _served_version(client) == 1
    assert stranger.key_id in httpx.get(f"{stage.address}/readyz").json()["last_pull"]


def test_an_older_bundle_is_not_taken_again(stage: Stage) -> None:
    entry = release_entry(stage.key, stage.sealed.first)
    older = stage.server.document
    stage.release(entry, revoked=(stage.sealed.first,))
    client = stage.start()
    stage.server.document = older
    stage.server.wait_for_pull()
    with pytest.raises(openai.PermissionDeniedError) as refused:
        _one(client)
    assert refused.value.code == "revoked"


def test_a_release_without_approval_is_not_served(stage: Stage) -> None:
    entry = release_entry(stage.key, stage.sealed.first)
    stage.release({**entry, "approvals": []})
    client = stage.start()
    with pytest.raises(openai.PermissionDeniedError) as refused:
        _one(client)
    assert refused.value.code == "approval-missing"
    stage.release({**entry, "approvals": [approval(), approval(person="cho", answer="reject")]})
    stage.server.wait_for_pull()
    with pytest.raises(openai.PermissionDeniedError, match="rejected"):
        _one(client)


def test_nothing_is_served_before_the_first_bundle(stage: Stage) -> None:
    stage.server.document = {}
    client = stage.start()
    assert httpx.get(f"{stage.address}/healthz").status_code == 200
    assert httpx.get(f"{stage.address}/readyz").json()["error"]["code"] == "no-bundle"
    with pytest.raises(openai.InternalServerError) as refused:
        _one(client)
    assert refused.value.code == "no-bundle"


def test_a_size_that_the_model_does_not_draw_is_refused_clearly(stage: Stage) -> None:
    client = stage.start()
    with pytest.raises(openai.BadRequestError, match="draws 16x16") as refused:
        client.images.generate(model="digits", prompt=PROMPT, size="1024x1024")
    assert (refused.value.code, refused.value.param) == ("size-not-offered", "size")
    client.images.generate(model="digits", prompt=PROMPT, size="16x16", extra_body=DRAW)


def test_a_blocked_term_is_refused_and_counted(stage: Stage) -> None:
    client = stage.start(blocked_terms=("forbidden digit",))
    with pytest.raises(openai.BadRequestError) as refused:
        client.images.generate(model="digits", prompt="a FORBIDDEN  digit")
    assert (refused.value.code, refused.value.param) == ("prompt-blocked", "prompt")
    assert _metric(stage, 'imprimatur_gateway_blocked_total{reason="prompt-blocked"}') == 1


def test_a_full_queue_says_when_to_come_back(stage: Stage) -> None:
    client = stage.start(serve_queue=2)
    with pytest.raises(openai.InternalServerError) as refused:
        client.images.generate(model="digits", prompt=PROMPT, n=3, extra_body=DRAW)
    assert (refused.value.status_code, refused.value.code) == (503, "queue-full")
    assert refused.value.response.headers["retry-after"] == "1"
    assert refused.value.response.headers["x-should-retry"] == "true"


def test_every_image_is_written_to_the_spool(stage: Stage) -> None:
    client = stage.start(spool_per_minute=1)
    client.images.generate(model="digits", prompt=PROMPT, n=2, extra_body=DRAW)
    first, second = _served(stage)
    assert (first.model, first.version, first.client, first.team) == ("digits", 1, "webshop", "shop")
    assert (first.seed, second.seed, first.images, first.device) == (7, 8, 1, "cpu")
    assert first.seconds > 0
    assert first.image is not None
    with Image.open(stage.settings.served / first.image) as kept:
        assert kept.size == (16, 16)
    assert second.image is None


def test_what_can_not_be_recorded_is_not_served(stage: Stage) -> None:
    client = stage.start()
    stage.settings.served.write_text("in the way")
    with pytest.raises(openai.InternalServerError) as refused:
        _one(client)
    assert refused.value.code == "spool-unwritable"


def test_paths_that_are_not_ours_answer_in_openais_form(stage: Stage) -> None:
    stage.start()
    answer = httpx.post(f"{stage.address}/v1/chat/completions", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no-such-path")


def _served_version(client: openai.OpenAI) -> int:
    answer = client.images.generate(model="digits", prompt=PROMPT, extra_body=DRAW)
    return int((answer.model_extra or {})["x_imprimatur"]["version"])


def _one(client: openai.OpenAI, seed: int = 7) -> dict[str, Any]:
    answer = client.images.generate(model="digits", prompt=PROMPT, extra_body={**DRAW, "seed": seed})
    assert answer.data is not None
    return answer.data[0].model_dump()


def _pixels(image: Any) -> np.ndarray[Any, np.dtype[np.int16]]:
    encoded = image["b64_json"] if isinstance(image, dict) else image.b64_json
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).astype(np.int16)


def _metric(stage: Stage, name: str) -> float:
    lines = httpx.get(f"{stage.address}/metrics").text.splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))


def _served(stage: Stage) -> list[Served]:
    files = sorted(stage.settings.served.glob("*.jsonl"))
    return [Served.parse(line) for file in files for line in file.read_bytes().splitlines()]


def _blob_of(stage: Stage, name: str) -> Path:
    from imprimatur.storage.service import SealedStore

    store = SealedStore(stage.settings.sealed)
    (file,) = (file for file in store.manifest(stage.sealed.first).files if file.path == name)
    return store.blob_path(file.digest)


def _change_one_byte(stage: Stage, name: str) -> str:
    path = _blob_of(stage, name)
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return name
