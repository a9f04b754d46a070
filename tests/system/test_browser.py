"""The status page in a real Chromium, beside the real daemon and a simulated Braze."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from exporter.simulator import Fault, Simulator, SimulatorSettings
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.support.browser import FLAGS
from tests.support.daemon_process import (
    DaemonThread,
    Running,
    configuration,
    parsed,
    until,
)

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
ROWS = "#results tbody tr"


@pytest.fixture(scope="module")
def browser(program: Callable[[str], str]) -> Iterator[Browser]:
    """Run Chromium."""
    path = program("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def daemon() -> Iterator[Running]:
    """Serve the simulator's campaigns, some with hostile names, and one that fails."""
    # Late in the day, whenever this runs: soon after midnight hardly anything is sent.
    now = time.time()
    evening = now - now % 86_400 + 23 * 3600
    with Simulator(SimulatorSettings(clock=lambda: evening)) as braze:
        document = configuration(braze, interval="2s")
        (workspace,) = document["workspaces"]  # type: ignore[misc]  # our own
        for campaign, name in zip(workspace["campaigns"][5:], HOSTILE, strict=False):  # type: ignore[has-type]
            campaign |= {"name": name, "labels": LABEL}
        braze.set_fault(Fault(status=503), campaign_id=braze.campaigns[3].id)
        running = DaemonThread(
            parsed(document, key=braze.api_key), read_key=lambda _: braze.api_key
        )
        with running as daemon:
            until(lambda: daemon.get("/-/ready")[0] == 200)
            until(lambda: '"server_error"' in daemon.get("/api/v1/status")[1])
            yield daemon


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    viewport: ViewportSize = WIDE,
    scheme: str = "light",
    has_script: bool = True,
) -> Iterator[Page]:
    """Open a page; whatever it complains of or asks another host for is an error."""
    context = browser.new_context(
        viewport=viewport,
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=has_script,
    )
    page = context.new_page()
    complaints: list[str] = []
    asked: set[str] = set()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: asked.add(request.url))
    answer = page.goto(url)
    assert answer is not None
    assert answer.status == 200
    yield page
    context.close()
    hosts = {_host(one) for one in asked if not one.startswith("data:")}
    assert complaints == []
    assert hosts == {_host(url)}


def _host(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


def names(page: Page) -> list[str]:
    """Return the names of the campaigns shown."""
    return page.locator(f"{ROWS} .name").all_inner_texts()


def test_it_shows_what_is_wrong_first(browser: Browser, daemon: Running) -> None:
    """In words and shapes, not by colour alone; then all that goes well."""
    with opened(browser, daemon.url) as page:
        failing, bouncing = page.locator(ROWS).nth(0), page.locator(ROWS).nth(1)

        expect(page).to_have_title(re.compile(r"^\(\d+\) Braze exporter$"))
        expect(failing.locator(".state")).to_have_text("Failing")
        expect(failing.locator(".error")).to_contain_text("Braze has an error of its")
        expect(failing.locator("code")).to_be_hidden()
        failing.locator("summary").click()
        expect(failing.locator("code")).to_contain_text("HTTP 503 from http://127")
        assert bouncing.locator(".name").inner_text() in {
            "Spring sale 🌷",
            "Win-back after 90 days",
        }
        expect(bouncing.locator(".rate.critical")).to_contain_text("too high")
        expect(bouncing.locator(".rate.critical svg")).to_be_visible()
        picture = bouncing.get_by_role("img", name=re.compile("^Sent a day in the 28"))
        expect(picture).to_be_visible()
        workspace = page.get_by_role("region", name="Workspace")
        expect(workspace).to_contain_text("of at most 6,000 requests a minute")
        expect(workspace).to_contain_text("of 50,000 requests left")
        assert len(names(page)) == 22


def test_hostile_names_are_names(browser: Browser, daemon: Running) -> None:
    """They are shown as they are, and nothing of them comes alive."""
    with opened(browser, daemon.url) as page:
        shown = names(page)
        hacked = page.evaluate("window.hacked")

        assert set(HOSTILE) <= {one.replace("\n", " ") for one in shown}
        assert hacked is None
        assert page.locator("#results img, #results script, #results h1").count() == 0
        assert page.locator("h1").count() == 1
        page.get_by_text(LABEL["team"]).first.hover()
        assert page.evaluate("window.hacked") is None


def test_a_filter_acts_while_one_types(browser: Browser, daemon: Running) -> None:
    """Without a new page, and the address can be kept."""
    with opened(browser, daemon.url) as page:
        page.evaluate("window.isTheSame = true")

        page.get_by_label("Filter", exact=True).press_sequentially("SPRING")

        expect(page.locator(ROWS)).to_have_count(1)
        expect(page.locator("#found")).to_contain_text("1 to 1 of 1 campaign.")
        assert page.evaluate("window.isTheSame")
        assert urlsplit(page.url).query == "q=SPRING"
        expect(page.get_by_label("Filter", exact=True)).to_be_focused()
        page.get_by_label("Filter", exact=True).fill("no such campaign")
        expect(page.locator("#found")).to_contain_text("No campaign is like that")
        page.get_by_role("link", name="Show all 22").click()
        expect(page.locator(ROWS)).to_have_count(22)
        page.get_by_label("State").select_option("failing")
        expect(page.locator(ROWS)).to_have_count(1)
        assert urlsplit(page.url).query == "state=failing"


def test_a_password_in_the_address_is_no_hindrance(
    browser: Browser, daemon: Running
) -> None:
    """As people write it who want to be let in at once."""
    url = daemon.url.replace("//", "//me:secret@")
    with opened(browser, url) as page:
        page.get_by_label("Filter", exact=True).fill("spring")

        expect(page.locator(ROWS)).to_have_count(1)


def test_what_looks_like_a_filter_is_escaped(browser: Browser, daemon: Running) -> None:
    """The address may be anybody's."""
    query = (
        "?q=%22%3E%3Cscript%3Ewindow.hacked%3D1%3C/script%3E&workspace=%22%3E%3Cb%3E"
    )
    with opened(browser, f"{daemon.url}/{query}") as page:
        field = page.get_by_label("Filter", exact=True)

        expect(field).to_have_value('"><script>window.hacked=1</script>')
        assert page.evaluate("window.hacked") is None


def test_columns_sort(browser: Browser, daemon: Running) -> None:
    """By a click on their heads, and the other way by another."""
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


def test_it_works_without_javascript(browser: Browser, daemon: Running) -> None:
    """Filter, sort and order are a form; what needs a script is not shown."""
    with opened(browser, daemon.url, has_script=False, viewport=PHONE) as page:
        expect(page.get_by_label("Update every 15 s")).to_be_hidden()
        page.get_by_label("Filter", exact=True).fill("e")
        page.get_by_label("Sort by").select_option("name")
        page.get_by_label("Order").select_option("reversed")
        page.get_by_role("button", name="Apply").click()

        shown = page.locator(f"{ROWS} .name").all_text_contents()
        assert shown == sorted(shown, key=str.casefold, reverse=True)
        assert 1 < len(shown) < 22
        expect(page.get_by_label("Filter", exact=True)).to_have_value("e")
        expect(page.get_by_label("Order")).to_have_value("reversed")


def test_what_rests_is_marked(browser: Browser, daemon: Running) -> None:
    """With a moon and its interval; a tile shows it alone, without a script too."""
    with opened(browser, daemon.url) as page:
        resting = page.locator(f"{ROWS}:has(.idle)")
        marked = set(resting.locator(".name").all_inner_texts())
        expect(resting.first.locator(".idle")).to_have_text("Idle: every 2 s")
        expect(resting.first.locator(".idle svg")).to_be_visible()

        page.get_by_label("State").select_option("idle")
        expect(page.locator(ROWS)).to_have_count(len(marked))
        assert set(names(page)) == marked

    with opened(browser, daemon.url, has_script=False) as page:
        page.locator(".tiles").get_by_role("link", name="Idle").click()

        assert urlsplit(page.url).query == "state=idle"
        assert set(names(page)) == marked
        expect(page.get_by_label("State")).to_have_value("idle")
    assert 0 < len(marked) < 22


def test_many_campaigns_are_paged(browser: Browser) -> None:
    """Every campaign is on one of the pages."""
    settings = SimulatorSettings(campaigns=60, has_incidents=False)
    with Simulator(settings) as braze:
        document = configuration(braze)
        running = DaemonThread(
            parsed(document, key=braze.api_key), read_key=lambda _: braze.api_key
        )
        with (
            running as daemon,
            opened(browser, f"{daemon.url}/?size=25&sort=name") as page,
        ):
            seen = names(page)
            for number in (2, 3):
                page.get_by_role("link", name="Next →").click()
                expect(page.get_by_text(f"Page {number} of 3")).to_be_visible()
                seen += names(page)

            assert len(seen) == len(braze.campaigns)
            expect(page.get_by_role("link", name="Next →")).to_have_count(0)


def test_it_keeps_up_with_the_time(browser: Browser, daemon: Running) -> None:
    """Every 15 seconds, unless told not to; what is open and focused stays so."""
    with opened(browser, daemon.url) as page:
        page.clock.install()
        page.reload()
        page.locator("summary").first.click()
        before = page.locator("#asof").inner_text()

        until(lambda: _is_renewed(page, before))

        expect(page.locator("details").first).to_have_attribute("open", "")
        expect(page.locator("summary").first).to_be_focused()
        page.get_by_label("Update every 15 s").uncheck()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.clock.fast_forward(60_000)
        assert asked == []


def _is_renewed(page: Page, before: str) -> bool:
    with page.expect_response(lambda answer: answer.status == 200):
        page.clock.fast_forward(15_000)
    page.wait_for_function("document.querySelectorAll('details').length > 0")
    return page.locator("#asof").inner_text() != before


CONTRASTS = """
() => {
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, alpha = 1] = parts(getComputedStyle(at).backgroundColor);
      if (alpha > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const isShown = element.checkVisibility() && node.data.trim() !== "";
    if (!isShown || element.closest("style, script, option")) continue;
    const pair = [parts(getComputedStyle(element).color), behind(element)];
    const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
    found.push([(light + 0.05) / (dark + 0.05), node.data.trim().slice(0, 40)]);
  }
  const shapes = ".mark *, .sparkline path, .gauge .left";
  for (const shape of document.querySelectorAll(shapes)) {
    if (!shape.checkVisibility()) continue;
    const style = getComputedStyle(shape);
    const colour = style.stroke === "none" ? style.fill : style.stroke;
    const pair = [parts(colour), behind(shape)];
    const [dark, light] = pair.map(luminance).sort((a, b) => a - b);
    // Shapes need 3 where text needs 4.5 (WCAG 1.4.11); past days are no statement.
    const least = shape.matches(".past") ? 2 : 3;
    const contrast = (light + 0.05) / (dark + 0.05);
    found.push([4.5 / least * contrast, shape.outerHTML.slice(0, 60)]);
  }
  return found;
}
"""


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(
    browser: Browser, daemon: Running, scheme: str, viewport: ViewportSize
) -> None:
    """Each text has a contrast of 4.5 (WCAG 1.4.3), and nothing is cut off sideways."""
    with opened(browser, daemon.url, scheme=scheme, viewport=viewport) as page:
        contrasts: list[tuple[float, str]] = page.evaluate(CONTRASTS)
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        width = page.evaluate("document.documentElement.scrollWidth")

    assert len(contrasts) > 200
    assert [one for one in contrasts if one[0] < 4.5] == []
    assert (max(map(int, re.findall(r"\d+", ground))) < 64) == (scheme == "dark")
    assert width <= viewport["width"]


FLAWS = """
() => {
  const flaws = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const named = (one) => document.getElementById(one.getAttribute("aria-labelledby"));
  const claim = (isTrue, text) => { if (!isTrue) flaws.push(text); };
  claim(document.documentElement.lang === "en", "no language");
  claim(all("h1").length === 1, "not one h1");
  const levels = all("h1, h2, h3, h4").map((one) => Number(one.tagName[1]));
  levels.forEach((level, at) =>
    claim(!at || level <= levels[at - 1] + 1, `heading ${at} skips a level`));
  for (const name of ["header", "main", "footer"])
    claim(all(`body > ${name}`).length === 1, `no landmark ${name}`);
  for (const nav of all("nav")) claim(nav.ariaLabel, "a nav without a name");
  for (const field of all("input, select, textarea"))
    claim(field.labels.length === 1 && field.labels[0].textContent,
      `${field.id} has no label`);
  for (const link of all("a, button, summary"))
    claim(link.textContent.trim(), `no text in ${link.outerHTML}`);
  for (const head of all("th"))
    claim(["col", "row"].includes(head.scope), `${head.textContent} has no scope`);
  for (const table of all("table"))
    claim(named(table), "a table without a name");
  for (const row of all("tbody tr"))
    claim(row.children.length === all("thead th").length, "a row of other columns");
  for (const picture of all("svg"))
    claim(picture.ariaHidden === "true" || (picture.role && picture.ariaLabel),
      `neither hidden nor named: ${picture.outerHTML.slice(0, 60)}`);
  for (const time of all("time"))
    claim(!isNaN(Date.parse(time.dateTime)), "a bad time");
  const ids = all("[id]").map((one) => one.id);
  claim(new Set(ids).size === ids.length, "an id twice");
  for (const one of all("[aria-labelledby]"))
    claim(named(one), "a label that leads nowhere");
  claim(!all("[style], [tabindex]:not([tabindex='-1'])").length, "style or tabindex");
  claim(all("[role=status]").length === 1, "no live region");
  return flaws;
}
"""


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_has_no_flaw_that_shuts_people_out(
    browser: Browser, daemon: Running, viewport: ViewportSize
) -> None:
    """Names, headings, landmarks and labels are as screen readers want them."""
    with opened(browser, daemon.url, viewport=viewport) as page:
        assert page.evaluate(FLAWS) == []
        # However the rows are laid out, they are rows of a table.
        table = page.get_by_role("table", name="Campaigns")
        expect(table.get_by_role("row")).to_have_count(23)
        expect(table.get_by_role("rowheader")).to_have_count(22)


def test_a_keyboard_is_enough(browser: Browser, daemon: Running) -> None:
    """The first stop skips to the campaigns, and one sees where one is."""
    with opened(browser, daemon.url) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the campaigns")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")

        expect(page.get_by_label("Filter", exact=True)).to_be_focused()
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"
