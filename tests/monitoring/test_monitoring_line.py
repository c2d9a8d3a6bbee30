"""From the server's bundle to a served image to its cost and score, with no part replaced."""

from __future__ import annotations

import openai
import pytest

from imprimatur.access.model import Principal, Role
from imprimatur.costs.model import Kind
from imprimatur.serving.gateway import build_gateway
from monitor_stage import MODEL, MonitorStage
from signed_bundles import BundleServer, serving, wait_until


def test_what_the_gateway_serves_is_paid_for_and_scored(stage: MonitorStage, root: Principal) -> None:
    stage.accounts.add(root, "webshop", [Role.APPLICATION], "shop")
    token = stage.accounts.issue_token(root, "webshop", "test")
    server = BundleServer(stage.releases.bundle().document())
    with serving(server.app()) as address:
        settings = stage.settings.model_copy(update={"server": address, "bundle_seconds": 0.1})
        with serving(build_gateway(settings, stage.clock)) as gateway:
            wait_until(lambda: server.pulls >= 2)
            with openai.OpenAI(base_url=f"{gateway}/v1", api_key=token, max_retries=0) as client:
                answer = client.images.generate(model=MODEL, prompt="a handwritten one", n=2, extra_body={"steps": 2})
                with pytest.raises(openai.PermissionDeniedError, match="not released"):
                    client.images.generate(model=f"{MODEL}/2", prompt="a handwritten one")
    assert (answer.model_extra or {})["x_imprimatur"]["decision_id"] == stage.release().decision_id
    ingested = stage.monitor.ingest()
    assert (ingested.lines, ingested.unreadable, ingested.scored) == (2, 0, 2)
    assert stage.rooms.ledger.of_version(MODEL, 1)[Kind.SERVING] > 0
    assert {score.n for score in stage.monitor.scores(MODEL)} == {2}
