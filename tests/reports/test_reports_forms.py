"""The report of a version in its three forms says the same, and one HTML file stands alone."""

from __future__ import annotations

import json
import re

import pytest
from starlette.testclient import TestClient

from imprimatur.access.model import Principal
from imprimatur.api.wiring import House
from imprimatur.core.errors import Forbidden, NotFound
from seeded_house import ANA, app_of

PATH = "/api/v1/models/digits/versions"


@pytest.fixture(scope="module")
def engineer(story: House) -> TestClient:
    """An engineer's browser on the story."""
    client = TestClient(app_of(story))
    client.get("/login", params={"token": story.accounts.login_link_token("ana")})
    return client


def test_the_document_states_verdict_requirements_and_digests(engineer: TestClient) -> None:
    report = engineer.get(f"{PATH}/2/report").json()

    assert report["schema"] == "imprimatur/report/v1"
    assert report["decision"]["verdict"] == "deny"
    assert report["decision"]["words"] == "does not meet policy"
    assert report["decision"]["reasons"] == ["look-alikes"]
    assert report["requirements"][0]["id"] == "look-alikes"
    assert report["requirements"][0]["measured"]["n"] == 700
    assert report["requirements"][0]["production"]["value"] == pytest.approx(0.01)
    assert report["changes"]["against"] == "digits/1"
    assert report["digests"]["manifest"].startswith("sha256:")
    assert report["digests"]["weights of digits-clip"].startswith("sha256:")
    assert report["decision"]["envelope"]["payloadType"] == "application/vnd.imprimatur.decision+json"
    assert report["cost"]["currency"] == "EUR"


def test_the_document_of_a_version_that_is_only_registered_has_no_decision(engineer: TestClient) -> None:
    report = engineer.get(f"{PATH}/6/report").json()

    assert (report["stage"], report["decision"], report["requirements"]) == ("registered", None, [])


def test_markdown_opens_with_the_verdict(engineer: TestClient) -> None:
    answer = engineer.get(f"{PATH}/1/report", params={"format": "md"})

    assert answer.headers["content-type"].startswith("text/markdown")
    lines = answer.text.splitlines()
    assert lines[0] == "# digits/1"
    assert lines[2].startswith("Meets policy digits-production v1: 9 of 9 requirements.")
    assert "| Prohibited | Reading or forging documents and Likeness" in answer.text
    assert "Frechet distance on digits-clip, lower is better" in answer.text


def test_the_html_file_stands_alone(engineer: TestClient) -> None:
    answer = engineer.get(f"{PATH}/2/report", params={"format": "html"})

    assert answer.headers["content-security-policy"].startswith("default-src 'none'; img-src data:")
    assert not [src for src in re.findall(r'(?:src|href)="([^"]*)"', answer.text) if not src.startswith("data:")]
    assert answer.text.count("data:image/png;base64,") == 24 + 2 * 12
    assert "<script" not in answer.text
    assert answer.text.count('class="gauge"') == 6


def test_the_same_report_has_the_same_bytes(engineer: TestClient) -> None:
    first, second = (engineer.get(f"{PATH}/3/report", params={"format": "html"}).content for _ in range(2))

    assert first == second


def test_an_unknown_form_is_bad_input(engineer: TestClient) -> None:
    assert engineer.get(f"{PATH}/1/report", params={"format": "docx"}).status_code == 422


def test_a_report_needs_the_right_to_read(story: House) -> None:
    nobody = Principal("eve", frozenset(), "elsewhere")

    with pytest.raises(Forbidden):
        story.reports.document(nobody, "digits", 1)


def test_a_report_of_nothing_is_not_found(story: House) -> None:
    with pytest.raises(NotFound):
        story.reports.markdown(ANA, "digits", 99)


def test_every_document_is_json(story: House) -> None:
    for version in range(1, 7):
        json.dumps(story.reports.document(ANA, "digits", version))
