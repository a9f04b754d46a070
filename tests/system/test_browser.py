"""The status page of a daemon in Chromium."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings
from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.support.browser import FLAGS
from tests.support.daemon_process import PATIENCE_SECONDS, Running, listed, until
from tests.support.daemon_process import daemon as start_daemon

HOSTILE = (
    "<script>window.hacked = 1</script>",
    "\"'><img src=x onerror=window.hacked=1>",
    "</style></script></title><h1>Hacked</h1>",
    "{{ 7 * 7 }} {% raw %} \u202egnp.exe &lt;b&gt;",
    "https://else.where/ javascript:alert(1)",
)
LABEL = {"team": "<b onmouseover=window.hacked=1>"}
WIDE = ViewportSize(width=1366, height=768)
PHONE = ViewportSize(width=360, height=740)
VIEWPORTS = pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
CHECKS = Path(__file__).with_name("status_page_checks.js").read_text()
ROWS = "#results tbody tr"


@pytest.fixture(scope="module")
def browser(program: Callable[[str], str]) -> Iterator[Browser]:
    path = program("chromium")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_SECONDS * 1000)
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def daemon() -> Iterator[Running]:
    """Run a daemon for 22 campaigns, some with hostile names, one of them failing."""
    # Late in the day: soon after midnight the simulator has hardly sent anything.
    now = time.time()
    evening = now - now % 86_400 + 23 * 3600
    with Simulator(SimulatorSettings(clock=lambda: evening)) as braze:
        campaigns = listed(braze.campaigns)
        for campaign, name in zip(campaigns[5:], HOSTILE, strict=False):
            campaign |= {"name": name, "labels": LABEL}
        braze.set_fault(Fault(status=503), campaign_id=braze.campaigns[3].id)
        with start_daemon(braze, interval="2s", campaigns=campaigns) as daemon:
            until(daemon.is_ready)
            daemon.wait_for_samples("braze_campaign_failure_info", 1)
            yield daemon


@contextmanager
def opened(
    browser: Browser, url: str, *, viewport: ViewportSize = WIDE, **options: Any
) -> Iterator[Page]:
    """Open a page; console messages and requests to other hosts are errors."""
    context = browser.new_context(viewport=viewport, **options)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = context.new_page()
    messages: list[str] = []
    requested: set[str] = set()
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("dialog", lambda dialog: messages.append(dialog.message))
    page.on("request", lambda request: requested.add(request.url))
    response = page.goto(url)
    assert response is not None
    assert response.status == 200
    yield page
    context.close()
    hosts = {_host(one) for one in requested if not one.startswith("data:")}
    assert messages == []
    assert hosts == {_host(url)}


def _host(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


def names(page: Page) -> list[str]:
    return page.locator(f"{ROWS} .name").all_inner_texts()


def follow(target: Locator) -> None:
    """Click, and wait for the new page: without JavaScript each change loads one."""
    with target.page.expect_navigation():
        target.click()


def filter_of(page: Page) -> Locator:
    return page.get_by_label("Filter", exact=True)


def test_problems_are_listed_first(browser: Browser, daemon: Running) -> None:
    with opened(browser, daemon.url) as page:
        failing, bouncing = page.locator(ROWS).nth(0), page.locator(ROWS).nth(1)

        expect(page).to_have_title(re.compile(r"^\(\d+\) Braze exporter$"))
        expect(failing.locator(".state")).to_have_text("Failing")
        expect(failing.locator(".error")).to_contain_text("has a temporary error")
        expect(failing.locator("code")).to_be_hidden()
        failing.locator("summary").click()
        expect(failing.locator("code")).to_contain_text("HTTP 503 from http://127")
        assert bouncing.locator(".name").inner_text() in {
            "Spring sale 🌷",
            "Win-back after 90 days",
        }
        expect(bouncing.locator(".rate.critical")).to_contain_text("too high")
        expect(bouncing.locator(".rate.critical svg")).to_be_visible()
        chart = bouncing.get_by_role("img", name=re.compile("^Sent per day in the 28"))
        expect(chart).to_be_visible()
        workspace = page.get_by_role("region", name="Workspace")
        expect(workspace).to_contain_text("of at most 6,000 requests per minute")
        expect(workspace).to_contain_text("of 50,000 requests left")
        assert len(names(page)) == 22


def test_names_and_labels_are_escaped(browser: Browser, daemon: Running) -> None:
    with opened(browser, daemon.url) as page:
        shown = names(page)
        hacked = page.evaluate("window.hacked")

        assert set(HOSTILE) <= {one.replace("\n", " ") for one in shown}
        assert hacked is None
        assert page.locator("#results img, #results script, #results h1").count() == 0
        assert page.locator("h1").count() == 1
        page.get_by_text(LABEL["team"]).first.hover()
        assert page.evaluate("window.hacked") is None


def test_filter_is_applied_during_typing(browser: Browser, daemon: Running) -> None:
    """Without loading a new page; the address has the filter."""
    with opened(browser, daemon.url) as page:
        page.evaluate("window.isSamePage = true")

        filter_of(page).press_sequentially("SPRING")

        expect(page.locator(ROWS)).to_have_count(1)
        expect(page.locator("#found")).to_contain_text("1 to 1 of 1 campaign.")
        assert page.evaluate("window.isSamePage")
        expect(page).to_have_url(f"{daemon.url}/?q=SPRING")
        expect(filter_of(page)).to_be_focused()
        filter_of(page).fill("no such campaign")
        expect(page.locator("#found")).to_contain_text("No campaigns match")
        page.get_by_role("link", name="Show all 22").click()
        expect(page.locator(ROWS)).to_have_count(22)
        page.get_by_label("State").select_option("failing")
        expect(page.locator(ROWS)).to_have_count(1)
        expect(page).to_have_url(f"{daemon.url}/?state=failing")


def test_filter_works_with_a_password_in_the_address(
    browser: Browser, daemon: Running
) -> None:
    """Where fetch() rejects relative URLs."""
    url = daemon.url.replace("//", "//me:secret@")
    with opened(browser, url) as page:
        filter_of(page).fill("spring")

        expect(page.locator(ROWS)).to_have_count(1)


def test_query_string_is_escaped(browser: Browser, daemon: Running) -> None:
    query = (
        "?q=%22%3E%3Cscript%3Ewindow.hacked%3D1%3C/script%3E&workspace=%22%3E%3Cb%3E"
    )
    with opened(browser, f"{daemon.url}/{query}") as page:
        expect(filter_of(page)).to_have_value('"><script>window.hacked=1</script>')
        assert page.evaluate("window.hacked") is None


def test_a_column_header_sorts(browser: Browser, daemon: Running) -> None:
    with opened(browser, daemon.url) as page:
        head = page.get_by_role("columnheader", name="Sent")
        for order in ("descending", "ascending"):
            head.get_by_role("link").click()

            expect(head).to_have_attribute("aria-sort", order)
            cells = page.locator(f"{ROWS} td:nth-of-type(2)").all_inner_texts()
            sent = [
                int(cell.split("\n")[0].replace(",", ""))
                for cell in cells
                if cell[0].isdigit()
            ]
            assert len(sent) > 15
            assert sent == sorted(sent, reverse=order == "descending")
        assert page.locator("[aria-sort]").count() == 1


def test_page_works_without_javascript(browser: Browser, daemon: Running) -> None:
    """Filter, sort and order are a form; controls that need a script are hidden."""
    with opened(browser, daemon.url, java_script_enabled=False, viewport=PHONE) as page:
        expect(page.get_by_label("Update every 15 s")).to_be_hidden()
        filter_of(page).fill("e")
        page.get_by_label("Sort by").select_option("name")
        page.get_by_label("Order").select_option("reversed")
        follow(page.get_by_role("button", name="Apply"))

        shown = page.locator(f"{ROWS} .name").all_text_contents()
        assert shown == sorted(shown, key=str.casefold, reverse=True)
        assert 1 < len(shown) < 22
        expect(filter_of(page)).to_have_value("e")
        expect(page.get_by_label("Order")).to_have_value("reversed")


def test_idle_campaigns_are_marked(browser: Browser, daemon: Running) -> None:
    """With their interval; a tile filters them, also without JavaScript."""
    with opened(browser, daemon.url) as page:
        idle = page.locator(f"{ROWS}:has(.idle)")
        marked = set(idle.locator(".name").all_inner_texts())
        expect(idle.first.locator(".idle")).to_have_text("Idle: every 2 s")
        expect(idle.first.locator(".idle svg")).to_be_visible()

    with opened(browser, daemon.url, java_script_enabled=False) as page:
        follow(page.locator(".tiles").get_by_role("link", name="Idle"))

        expect(page.get_by_label("State")).to_have_value("idle")
        assert set(names(page)) == marked
    assert 0 < len(marked) < 22


def test_kinds_are_filtered(browser: Browser) -> None:
    """Without loading a new page, and without JavaScript; canvases have no rates."""
    settings = SimulatorSettings(campaigns=3, canvases=2, has_incidents=False)
    with (
        Simulator(settings) as braze,
        start_daemon(braze, canvases=listed(braze.canvases)) as daemon,
    ):
        until(daemon.is_ready)
        campaigns = {one.name for one in braze.campaigns}
        canvases = {one.name for one in braze.canvases}
        with opened(browser, daemon.url) as page:
            expect(page.get_by_role("columnheader", name="Name")).to_be_visible()
            assert set(names(page)) == campaigns | canvases

            page.get_by_label("Kind").select_option("Canvases")

            expect(page.locator("#found")).to_contain_text("1 to 2 of 2 canvases.")
            assert set(names(page)) == canvases
            expect(page).to_have_url(f"{daemon.url}/?kind=canvas")
            page.reload()
            expect(page.get_by_label("Kind")).to_have_value("canvas")
            filter_of(page).fill("no such canvas")
            expect(page.locator("#found")).to_contain_text("No canvases match")
            page.get_by_role("link", name="Show all 5").click()
            expect(page.locator(ROWS)).to_have_count(5)
            assert page.evaluate(f"{CHECKS}.flaws()") == []
        with opened(browser, daemon.url, java_script_enabled=False) as page:
            page.get_by_label("Kind").select_option("Campaigns")
            follow(page.get_by_role("button", name="Apply"))

            assert set(names(page)) == campaigns
            expect(page.get_by_label("Kind")).to_have_value("campaign")


def test_pager_leads_to_every_campaign(browser: Browser) -> None:
    settings = SimulatorSettings(campaigns=60, has_incidents=False)
    with (
        Simulator(settings) as braze,
        start_daemon(braze) as daemon,
        opened(browser, f"{daemon.url}/?size=25&sort=name") as page,
    ):
        seen = names(page)
        for number in (2, 3):
            page.get_by_role("link", name="Next →").click()
            expect(page.get_by_text(f"Page {number} of 3")).to_be_visible()
            seen += names(page)

        assert set(seen) == {one.name for one in braze.campaigns}
        expect(page.get_by_role("link", name="Next →")).to_have_count(0)


def test_page_updates_every_15_seconds(browser: Browser, daemon: Running) -> None:
    """Open details and the focus are kept; a checkbox disables it."""
    with opened(browser, daemon.url) as page:
        page.clock.install()
        page.reload()
        page.locator("summary").first.click()
        before = page.locator("#asof").inner_text()

        until(lambda: _is_updated(page, before))

        expect(page.locator("details").first).to_have_attribute("open", "")
        expect(page.locator("summary").first).to_be_focused()
        page.get_by_label("Update every 15 s").uncheck()
        requested: list[str] = []
        page.on("request", lambda request: requested.append(request.url))
        page.clock.fast_forward(60_000)
        assert requested == []


def _is_updated(page: Page, before: str) -> bool:
    with page.expect_response(lambda response: response.status == 200):
        page.clock.fast_forward(15_000)
    page.wait_for_function("document.querySelectorAll('details').length > 0")
    return page.locator("#asof").inner_text() != before


@VIEWPORTS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_width(
    browser: Browser, daemon: Running, scheme: str, viewport: ViewportSize
) -> None:
    """Text has a contrast of 4.5 (WCAG 1.4.3); the page does not scroll sideways."""
    with opened(browser, daemon.url, viewport=viewport, color_scheme=scheme) as page:
        contrasts: list[tuple[float, str]] = page.evaluate(f"{CHECKS}.contrasts()")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        width = page.evaluate("document.documentElement.scrollWidth")

    assert len(contrasts) > 200
    assert [one for one in contrasts if one[0] < 4.5] == []
    assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
    assert width <= viewport["width"]


@VIEWPORTS
def test_page_is_accessible(
    browser: Browser, daemon: Running, viewport: ViewportSize
) -> None:
    """Names, headings, landmarks and labels are complete for screen readers."""
    with opened(browser, daemon.url, viewport=viewport) as page:
        assert page.evaluate(f"{CHECKS}.flaws()") == []
        # In the narrow layout, too, the rows are rows of a table.
        table = page.get_by_role("table", name="Campaigns")
        expect(table.get_by_role("row")).to_have_count(23)
        expect(table.get_by_role("rowheader")).to_have_count(22)


def test_page_works_with_a_keyboard(browser: Browser, daemon: Running) -> None:
    """The first link skips to the campaigns, and the focus is visible."""
    with opened(browser, daemon.url) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the campaigns")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")

        expect(filter_of(page)).to_be_focused()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"
