"""Requests and errors in OpenAI's form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.core.errors import (
    BadInput,
    Fault,
    Forbidden,
    ImprimaturError,
    NotFound,
    Tampered,
    Unauthenticated,
    Unavailable,
)
from imprimatur.serving.dialect import error_answer, error_body, parse_request
from imprimatur.serving.guardrails import Guardrails

GOOD: dict[str, Any] = {"model": "digits", "prompt": "a digit"}


def test_what_openais_client_may_send_is_understood() -> None:
    request = parse_request(
        json.dumps(
            {
                **GOOD,
                "n": 10,
                "size": "auto",
                "output_format": "webp",
                "output_compression": 50,
                "response_format": "b64_json",
                "background": "opaque",
                "quality": "auto",
                "moderation": "auto",
                "stream": False,
                "user": "u",
                "seed": 2**53 - 11,
                "steps": 4,
                "guidance": 3,
            }
        ).encode()
    )
    assert (request.n, request.output_format, request.seed, request.guidance) == (10, "webp", 2**53 - 11, 3.0)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": 7}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"model": None}, "model"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"n": True}, "n"),
        ({"n": "2"}, "n"),
        ({"size": "large"}, "size"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_format": "svg"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"output_compression": 101, "output_format": "webp"}, "output_compression"),
        ({"response_format": "url"}, "response_format"),
        ({"background": "transparent"}, "background"),
        ({"quality": "high"}, "quality"),
        ({"moderation": "low"}, "moderation"),
        ({"stream": True}, "stream"),
        ({"partial_images": 2}, "partial_images"),
        ({"style": "vivid"}, "style"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**53}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"steps": 0}, "steps"),
        ({"steps": 10**6}, "steps"),
        ({"guidance": -1}, "guidance"),
        ({"guidence": 1}, "guidence"),
    ],
)
def test_what_is_not_offered_is_refused_by_its_name(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_request(json.dumps({**GOOD, **changes}).encode())
    assert (refused.value.code, refused.value.facts["param"]) == ("bad-parameter", param)
    assert refused.value.message.startswith(f"{param}: ")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff",
        b'{"guidance": NaN, "model": "digits", "prompt": "a"}',
        b'{"model": "digits", "model": "letters", "prompt": "a"}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        parse_request(body)
    assert refused.value.code == "bad-request"


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    with pytest.raises(BadInput):
        parse_request(body)


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (BadInput("c", "m"), 400, "false"),
        (Unauthenticated("c", "m"), 401, "false"),
        (Forbidden("c", "m"), 403, "false"),
        (NotFound("c", "m"), 404, "false"),
        (Tampered("c", "m"), 409, "false"),
        (Fault("c", "m"), 500, "false"),
        (Unavailable("c", "m"), 503, "true"),
    ],
)
def test_each_error_has_its_status_and_says_whether_to_ask_again(
    error: ImprimaturError, status: int, retry: str
) -> None:
    answer = error_answer(error, "req-1")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (status, retry)
    assert answer.headers["x-request-id"] == "req-1"
    assert ("retry-after" in answer.headers) == (retry == "true")


def test_facts_of_an_error_are_kept_apart_from_openais_fields() -> None:
    body = error_body(BadInput("prompt-blocked", "no", param="prompt", term="x"))["error"]
    assert (body["param"], body["code"], body["x_facts"]) == ("prompt", "prompt-blocked", {"term": "x"})


@pytest.mark.parametrize(
    "prompt", ["gun", "a GUN.", "a \uff47\uff55\uff4e", "a g\u200bun", "Machine  Gun!", "machine\u00a0gun"]
)
def test_blocked_terms_are_found_however_they_are_written(prompt: str) -> None:
    with pytest.raises(BadInput) as refused:
        Guardrails(longest=100, blocked=("gun", "machine gun")).check(prompt)
    assert refused.value.code == "prompt-blocked"


@pytest.mark.parametrize("prompt", ["a gunner", "begun", "a machine", "x" * 100])
def test_words_that_only_contain_a_blocked_term_pass(prompt: str) -> None:
    Guardrails(longest=100, blocked=("gun", "machine gun", "")).check(prompt)


@pytest.mark.parametrize(
    ("prompt", "code"), [("x" * 101, "prompt-too-long"), (" \u200b ", "prompt-empty"), ("a\0b", "prompt-not-text")]
)
def test_prompts_that_are_too_long_empty_or_no_text_are_refused(prompt: str, code: str) -> None:
    with pytest.raises(BadInput) as refused:
        Guardrails(longest=100, blocked=()).check(prompt)
    assert refused.value.code == code
