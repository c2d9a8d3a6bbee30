"""Each page answers its question, with data and without, and says what can't be done."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from imprimatur.api.wiring import House
from imprimatur.registry import store, triggers
from imprimatur.release import store as release_store
from imprimatur.release.model import End
from imprimatur.web.security import POLICY

LogIn = Callable[[House, str], TestClient]

PAGES = ("/", "/models/digits", *(f"/models/digits/versions/{n}" for n in range(1, 7)), "/inbox", "/quality", "/costs")
EVERY_PAGE = (*PAGES, "/audit", "/audit?subject=digits/1")


@pytest.fixture(scope="module")
def ben(story: House, log_in: LogIn) -> TestClient:
    """A reviewer's browser on the story."""
    return log_in(story, "ben")


def text_of(page: str) -> str:
    """What a page says, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]))


@pytest.mark.parametrize("path", EVERY_PAGE)
def test_every_page_is_drawn_and_allows_no_script(ben: TestClient, path: str) -> None:
    answer = ben.get(path)

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == POLICY
    assert "script-src 'none'" in POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text
    assert not re.search(r"\sstyle=|\son[a-z]+=", answer.text)
    assert "None" not in text_of(answer.text)


def test_no_page_loads_anything_from_elsewhere(ben: TestClient) -> None:
    for path in EVERY_PAGE:
        links = re.findall(r'(?:src|href|action)="([^"]*)"', ben.get(path).text)
        assert links
        assert not [link for link in links if not link.startswith(("/", "#")) or link.startswith("//")]


def test_the_models_page_says_where_each_version_stands(ben: TestClient) -> None:
    said = text_of(ben.get("/").text)

    assert "v1 in production" in said
    assert "Released in production" in said
    assert "Registered , waits to be sealed" in said
    assert "waits for 1 approval by a reviewer" in said
    assert "does not meet policy look-alikes" in said
    assert "cannot be decided" in said


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (1, "Meets policy digits-production v1: 9 of 9 requirements."),
        (2, "Does not meet policy digits-production v1: Look-alikes (share of images) 26.20%"),
        (3, "Does not meet policy digits-production v1: Balance of what the neutral prompt shows"),
        (4, "Meets policy digits-production v1: 9 of 9 requirements. 1 approval by a reviewer still needed."),
        (5, "Cannot be decided under policy digits-production v1: Look-alikes (share of images) 4.40%"),
        (6, "Not sealed yet"),
    ],
)
def test_the_review_page_opens_with_the_verdict(ben: TestClient, version: int, sentence: str) -> None:
    assert sentence in text_of(ben.get(f"/models/digits/versions/{version}").text)


def test_the_review_page_shows_failures_first(ben: TestClient) -> None:
    page = ben.get("/models/digits/versions/3").text
    statuses = re.findall(r'<li class="(allow|deny|undecided)">', page)

    assert statuses[0] == "deny"
    assert set(statuses[1:]) == {"allow"}
    assert len(statuses) == 9


def test_the_review_page_shows_images_that_can_be_fetched(ben: TestClient) -> None:
    page = ben.get("/models/digits/versions/2").text
    images = re.findall(r'src="(/api/v1/evidence/[^"]+)"', page)

    assert "24 images, random, seed 0, not selected." in text_of(page)
    assert len(images) == 24 + 12 + 2 * 12
    for path in images[:3]:
        assert ben.get(path).content.startswith(b"\x89PNG")


def test_the_review_page_says_what_changed_since_production(ben: TestClient) -> None:
    said = text_of(ben.get("/models/digits/versions/2").text)

    assert "Changed since digits/1, in production" in said
    assert "digits-archive" in said
    assert "Unchanged: code, policy and suite." in said
    assert "+25.20 points" in said


def test_data_that_nobody_knows_is_a_gap(ben: TestClient) -> None:
    page = ben.get("/models/digits/versions/2").text

    assert 'class="gap">not in the catalogue: owner and source unknown' in page


def test_an_open_requirement_says_what_would_settle_it(ben: TestClient) -> None:
    said = text_of(ben.get("/models/digits/versions/5").text)

    assert "About 4,500 images should settle it; 220 were used." in said
    assert re.search(r"Running them: about \d+ min, 0\.0\d EUR\.", said)


def test_a_score_on_our_own_network_is_never_called_fid(ben: TestClient) -> None:
    page = text_of(ben.get("/models/digits").text)

    assert "Frechet distance on digits-clip, lower is better" in page
    assert "FID" not in page


def test_the_inbox_holds_what_waits_for_an_answer_and_nothing_else(ben: TestClient) -> None:
    page = ben.get("/inbox").text

    assert re.findall(r"<h2><a [^>]*>(digits/\d)</a>", page) == ["digits/4"]
    assert "1 approval by a reviewer" in page


def test_served_quality_names_its_status_and_its_images(story: House, log_in: LogIn) -> None:
    page = text_of(log_in(story, "olga").get("/quality").text)

    assert "version 1 in production" in page
    assert re.search(r"in limits|not enough traffic", page)


def test_costs_have_a_currency_and_a_price_for_a_thousand_images(ben: TestClient) -> None:
    said = text_of(ben.get("/costs").text)

    assert re.search(r"serving 0\.0\d+ EUR 2 min 64 0\.11 EUR", said)
    assert "digits, in all" in said


def test_the_audit_page_recomputes_the_root(ben: TestClient) -> None:
    assert "entries match the root" in text_of(ben.get("/audit").text)


def test_the_audit_page_says_when_an_entry_was_changed(house: House, log_in: LogIn) -> None:
    client = log_in(house, "ben")
    with house.database.engine.begin() as connection:
        triggers.drop(connection)  # as whoever holds the file can
        connection.exec_driver_sql("UPDATE imp_audit_event SET actor = 'nobody' WHERE position = 3")

    said = text_of(client.get("/audit").text)

    assert "entries do not match the root" in said
    assert "Entry 3 (principal.added by nobody) is not what was written there" in said


def test_a_chart_comes_with_its_numbers(ben: TestClient) -> None:
    page = ben.get("/models/digits").text
    csv = ben.get("/models/digits/quality.csv")

    assert '<a href="/models/digits/quality.csv">' in page
    assert csv.headers["content-type"].startswith("text/csv")
    assert "digits/3,disparity/digits-clip,0.586" in csv.text
    for path in ("/costs.csv", "/models/digits/costs.csv", "/models/digits/served.csv", "/models/digits/releases.csv"):
        assert ben.get(path).text.count("\n") > 1
    for name in ("look-alikes", "balance"):
        assert ben.get(f"/models/digits/versions/2/{name}.csv").text.count("\n") > 9


@pytest.mark.parametrize("path", ["/models/nope", "/models/nope/versions/1", "/models/digits/versions/99"])
def test_what_does_not_exist_is_a_page_that_says_so(ben: TestClient, path: str) -> None:
    answer = ben.get(path)

    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"] == POLICY
    assert "Code:" in text_of(answer.text)


def test_a_number_that_is_none_is_a_page_too(ben: TestClient) -> None:
    answer = ben.get("/models/digits/versions/one")

    assert answer.status_code == 404
    assert "There is no page" in text_of(answer.text)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/", "No model is registered yet"),
        ("/inbox", "Nothing waits for an answer"),
        ("/quality", "Nothing is released yet"),
        ("/costs", "Nothing was spent yet"),
        ("/audit?subject=digits/1", "Nothing is recorded about digits/1"),
    ],
)
def test_an_empty_page_says_what_will_be_there(empty_house: House, log_in: LogIn, path: str, says: str) -> None:
    page = text_of(log_in(empty_house, "admin").get(path).text)

    assert says in page
    if path == "/":
        assert "imprimatur model register" in page


def test_nobody_sees_a_page_without_login(story: House, log_in: LogIn) -> None:
    client = log_in(story, "ben")
    client.cookies.clear()

    answer = client.get("/models/digits", headers={"accept": "text/html"}, follow_redirects=False)

    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


def test_the_login_page_shows_its_message_escaped(story: House, log_in: LogIn) -> None:
    client = log_in(story, "ben")

    page = client.post("/login", data={"token": "<b>wrong</b>"})

    assert page.status_code == 401
    assert 'role="alert"' in page.text
    assert "<b>wrong" not in page.text


def test_an_application_may_not_read_pages(house: House, log_in: LogIn) -> None:
    from imprimatur.access.model import Role
    from seeded_house import ROOT

    house.accounts.add(ROOT, "game", [Role.APPLICATION], "arithmetic-game")

    answer = log_in_refused(house, log_in, "game")

    assert answer == 403


def log_in_refused(house: House, log_in: LogIn, name: str) -> int:
    """The status that ``name`` sees on the models page."""
    client = log_in(house, "ben")
    client.cookies.clear()
    client.get("/login", params={"token": house.accounts.login_link_token(name)})
    return client.get("/").status_code


def test_text_from_people_is_escaped(house: House, log_in: LogIn) -> None:
    with house.database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE imp_version SET team = '<img src=x onerror=alert(1)>' WHERE version = 6")

    page = log_in(house, "ben").get("/models/digits/versions/6").text

    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


def test_many_versions_stand_on_several_pages(empty_house: House, log_in: LogIn) -> None:
    with empty_house.database.transaction() as session:
        for number in range(1, 121):
            _add(session, empty_house, "digits", number)
    client = log_in(empty_house, "admin")

    pages = [client.get("/models/digits").text]
    while following := re.search(r'href="(/models/digits\?before=\d+)"', pages[-1]):
        pages.append(client.get(following[1]).text)

    named = [[int(found) for found in re.findall(r'href="/models/digits/versions/(\d+)"', page)] for page in pages]
    assert [len(numbers) for numbers in named] == [50, 50, 20]
    assert [number for numbers in named for number in numbers] == list(range(120, 0, -1))
    assert "Newest versions" in pages[1]
    assert "no versions below 1" in text_of(client.get("/models/digits?before=1").text)


def _add(session: Session, house: House, model: str, version: int) -> None:
    """A version that was registered and nothing more."""
    store.add_version(
        session,
        model=model,
        version=version,
        run_id=None,
        source="x",
        team="imaging",
        by="ana",
        at=house.log.clock(),
    )


def test_many_models_stand_on_several_pages(empty_house: House, log_in: LogIn) -> None:
    with empty_house.database.transaction() as session:
        for number in range(120):
            _add(session, empty_house, f"model-{number:03}", 1)
    client = log_in(empty_house, "admin")

    pages = [client.get("/").text]
    while following := re.search(r'href="(/\?after=[^"]*)"', pages[-1]):
        pages.append(client.get(following[1]).text)

    named = [re.findall(r'href="/models/(model-\d+)"', page) for page in pages]
    assert [len(names) for names in named] == [50, 50, 20]
    assert [name for names in named for name in names] == [f"model-{number:03}" for number in range(120)]
    assert "First models" in pages[1]
    assert "no models after" in text_of(client.get("/?after=zzz").text)


def test_a_page_shows_the_newest_releases_and_the_file_all(house: House, log_in: LogIn) -> None:
    standing = house.releases.current("digits", "production")
    assert standing is not None
    with house.database.transaction() as session:
        for number in range(25):
            ended = standing.released_at - timedelta(hours=number)
            earlier = replace(
                standing,
                id=f"rel-{number}",
                released_at=ended - timedelta(minutes=9),
                ended_at=ended,
                ended_reason=End.REPLACED.told("by another"),
            )
            release_store.add_release(session, earlier)
    client = log_in(house, "ben")

    page, file = client.get("/models/digits").text, client.get("/models/digits/releases.csv").text

    assert page.count("replaced: by another") == 19
    assert "Earlier releases are in the file" in text_of(page)
    assert file.count("replaced: by another") == 25
    assert file.splitlines()[1].startswith("digits/1,production,")
