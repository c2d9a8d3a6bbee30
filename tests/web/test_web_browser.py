"""The pages in a real browser: accessible, nothing overflows, nothing is blocked by our own policy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page

from imprimatur.api.wiring import House

SHOWN = (
    "/",
    "/models/digits",
    "/models/digits/versions/1",
    "/models/digits/versions/2",
    "/models/digits/versions/4",
    "/models/digits/versions/6",
    "/inbox",
    "/quality",
    "/costs",
    "/audit",
    "/models/nope",
    "/login",
)
LOOKS = ((1280, "light"), (390, "dark"))


@pytest.fixture(scope="module", params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]}")
def context(request: pytest.FixtureRequest, browser: Browser, address: str, story: House) -> Iterator[BrowserContext]:
    """A reviewer's browser window of one width, in one theme."""
    width, theme = request.param
    opened = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme, reduced_motion="reduce")
    page = opened.new_page()
    page.goto(f"{address}/login?token={story.accounts.login_link_token('ben')}")
    page.close()
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab whose errors and warnings are kept."""
    tab = context.new_page()
    yield tab
    tab.close()


@pytest.mark.parametrize("path", SHOWN)
def test_a_page_is_accessible_and_fits(page: Page, address: str, path: str) -> None:
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)

    page.goto(address + path)
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})

    assert overflow <= 0
    assert found.violations_count == 0, found.generate_report()
    assert [line for line in complaints if "404" not in line] == []


def test_every_image_of_a_review_page_is_shown(page: Page, address: str) -> None:
    page.goto(f"{address}/models/digits/versions/2")

    for image in page.query_selector_all("img"):
        image.evaluate("image => image.loading = 'eager'")
    page.wait_for_load_state("networkidle")

    assert page.evaluate("[...document.images].filter(image => !image.naturalWidth).length") == 0


def test_the_header_stays_in_sight(page: Page, address: str) -> None:
    page.goto(f"{address}/models/digits/versions/4")

    page.evaluate("document.getElementById('data').scrollIntoView()")
    bar = page.query_selector(".idbar")
    assert bar is not None
    box = bar.bounding_box()
    title = page.query_selector("#data")
    assert title is not None
    heading = title.bounding_box()

    assert box is not None
    assert heading is not None
    assert box["y"] == pytest.approx(0, abs=1)
    assert heading["y"] >= box["height"] - 1  # an anchor's heading is not hidden below the header
