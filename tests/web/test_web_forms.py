"""What the forms of a review page do, for whom they work, and that a page of another site can't send them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient

from imprimatur.api.wiring import House
from imprimatur.core.errors import Refused
from imprimatur.release.model import Answer
from seeded_house import BEN, MODEL, newest_decision

LogIn = Callable[[House, str], TestClient]

PAGE = "/models/digits/versions/4"
REASON = "I compared the pairs one by one"


@dataclass(frozen=True)
class Sent:
    """What a form came to."""

    status: int
    location: str
    text: str


def csrf_of(client: TestClient) -> str:
    """The token in the forms of the client's pages."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(PAGE).text)
    assert found is not None
    return found[1]


def send_answer(client: TestClient, house: House, **changed: str) -> Sent:
    """Send the decision form, ticked and filled in, but for what is ``changed``."""
    form = {
        "decision": newest_decision(house, 4).id,
        "answer": "approve",
        "reason": REASON,
        "looked": "yes",
        "csrf": csrf_of(client),
    }
    answer = client.post(f"{PAGE}/answer", data={**form, **changed}, follow_redirects=False)
    return Sent(answer.status_code, answer.headers.get("location", ""), answer.text)


def answers(house: House) -> list[str]:
    """What was answered to the newest decision on version 4."""
    return [approval.answer.value for approval in house.releases.status(newest_decision(house, 4)).answers]


def test_a_reviewer_approves_and_an_operator_promotes(house: House, log_in: LogIn) -> None:
    reviewer = log_in(house, "ben")

    sent = send_answer(reviewer, house, conditions="Only with the school's logo")

    assert (sent.status, sent.location) == (303, f"{PAGE}?notice=approve")
    page = reviewer.get(sent.location).text
    assert "Your approval is recorded" in page
    assert "Only with the school&#39;s logo" in page
    operator = log_in(house, "olga")
    current = house.releases.current(MODEL, "production")
    assert current is not None
    promoted = operator.post(
        f"{PAGE}/promotion",
        data={"environment": "production", "expected": current.id, "csrf": csrf_of(operator)},
        follow_redirects=False,
    )
    assert promoted.status_code == 303, promoted.text
    now = house.releases.current(MODEL, "production")
    assert now is not None
    assert now.version == 4


def test_the_submitter_sees_why_not_and_is_refused(house: House, log_in: LogIn) -> None:
    client = log_in(house, "ana")

    page = client.get(PAGE).text
    sent = send_answer(client, house)

    assert re.search(r'<button type="button" class="good" disabled aria-describedby="why-answer">Approve', page)
    assert "You submitted this version. Somebody else has to answer: four eyes, admins included." in page
    assert sent.status == 403
    assert answers(house) == []


def test_a_submitter_who_is_a_reviewer_too_is_refused(house: House, log_in: LogIn) -> None:
    with house.database.engine.begin() as connection:
        connection.exec_driver_sql("""UPDATE imp_principal SET roles = '["engineer","reviewer"]' WHERE name = 'ana'""")
    client = log_in(house, "ana")

    sent = send_answer(client, house)

    assert sent.status == 403
    assert "own-approval" in sent.text
    assert answers(house) == []


def test_nobody_approves_without_having_looked(house: House, log_in: LogIn) -> None:
    sent = send_answer(log_in(house, "ben"), house, looked="")

    assert sent.status == 422
    assert "images-not-looked-at" in sent.text
    assert answers(house) == []


def test_a_rejection_stops_the_promotion(house: House, log_in: LogIn) -> None:
    client = log_in(house, "ben")

    sent = send_answer(client, house, answer="reject", looked="", reason="Too near to the archive")

    assert sent.status == 303
    assert "Rejected by ben: Too near to the archive." in client.get(PAGE).text
    assert "ben rejected it: Too near to the archive" in log_in(house, "olga").get(PAGE).text
    assert not re.findall(r"<h2><a [^>]*>(digits/\d)</a>", client.get("/inbox").text)


def test_a_form_without_the_session_s_token_is_refused(house: House, log_in: LogIn) -> None:
    sent = send_answer(log_in(house, "ben"), house, csrf="guessed")

    assert sent.status == 403
    assert "bad-csrf" in sent.text
    assert answers(house) == []


def test_a_form_of_another_site_is_refused(house: House, log_in: LogIn) -> None:
    client = log_in(house, "ben")
    token = csrf_of(client)
    client.headers.update({"Origin": "http://elsewhere.example", "Sec-Fetch-Site": "cross-site"})

    sent = client.post(f"{PAGE}/answer", data={"csrf": token})

    assert sent.status_code == 403
    assert answers(house) == []


def test_an_answer_must_be_about_the_page_s_version(house: House, log_in: LogIn) -> None:
    sent = send_answer(log_in(house, "ben"), house, decision=newest_decision(house, 2).id)

    assert sent.status == 404


def test_promotion_from_a_page_that_is_out_of_date_is_refused(house: House, log_in: LogIn) -> None:
    house.releases.answer(BEN, newest_decision(house, 4).id, Answer.APPROVE, REASON)
    client = log_in(house, "olga")

    sent = client.post(
        f"{PAGE}/promotion", data={"environment": "production", "expected": "none", "csrf": csrf_of(client)}
    )

    assert sent.status_code == 409
    assert "release-moved" in sent.text


def test_the_policy_can_be_asked_again_once_the_decision_is_stale(house: House, log_in: LogIn) -> None:
    client = log_in(house, "ana")
    before = newest_decision(house, 4)
    with house.database.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE imp_evaluation SET digest = 'sha256:changed' WHERE id = ?", (before.evaluation_id,)
        )

    page = client.get(PAGE).text
    sent = client.post(
        f"{PAGE}/decision", data={"environment": "production", "csrf": csrf_of(client)}, follow_redirects=False
    )

    assert "This decision does not apply any more: the evaluation changed since" in page
    assert sent.status_code == 303
    assert newest_decision(house, 4).id != before.id


@pytest.mark.parametrize("version", [2, 5])
def test_what_does_not_meet_policy_can_be_rejected_only(house: House, log_in: LogIn, version: int) -> None:
    client = log_in(house, "ben")

    page = client.get(f"/models/digits/versions/{version}").text

    assert re.search(r'value="approve" disabled aria-describedby="why-approve"', page)
    assert "so an approval could release nothing" in page
    with pytest.raises(Refused):
        house.releases.answer(BEN, newest_decision(house, version).id, Answer.APPROVE, REASON)
