"""The dashboard on a bad day, at every width and in both themes: nothing overflows, overlaps or cannot be read."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="the stream extra is not installed")
pytest.importorskip("playwright", reason="Playwright is not installed")

from axe_playwright_python.sync_playwright import Axe
from dashboard_line import NAME, DrawnLine
from dashboard_screenshots import browser
from playwright.sync_api import Page, expect, sync_playwright
from troubled_line import REFUSAL, troubled_line

from snl_edge.dashboard.server import DashboardServer
from snl_edge.stream.config.dashboard_settings import DashboardSettings
from snl_edge.stream.report.page import report_html
from snl_edge.stream.report.period import Period
from snl_edge.stream.report.shift_report import shift_report

PAGES = ("Live", "Parts", "Scores", "Report", "Health", "Changes", "Controls")
SIZES = ((1440, 900), (1024, 768), (768, 1024), (390, 844), (360, 640))
TOO_WIDE = """() => {
  const box = document.documentElement;
  const found = box.scrollWidth > box.clientWidth ? [`page: ${box.scrollWidth} > ${box.clientWidth}`] : [];
  for (const one of document.querySelectorAll("body *")) {
    if (!one.checkVisibility() || one.closest("svg, .spoken, #connection") || !(one instanceof HTMLElement)) continue;
    const style = getComputedStyle(one);
    if (style.display.startsWith("inline") || style.textOverflow === "ellipsis" || !one.clientWidth) continue;
    if (one.matches(".scroll")) continue; // wide tables scroll in themselves
    if (one.scrollWidth > one.clientWidth + 1)
      found.push(`${one.outerHTML.slice(0, 70)}: ${one.scrollWidth} > ${one.clientWidth}`);
  }
  return found;
}"""
# Bars that stand still lie over what scrolls below them: only what stands in the same layer may not overlap.
OVERLAPS = """() => {
  const seen = (one) => {
    let { left, top, right, bottom } = one.getBoundingClientRect();
    for (let box = one.parentElement; box; box = box.parentElement) if (getComputedStyle(box).overflow !== "visible") {
      const clip = box.getBoundingClientRect();
      [left, top] = [Math.max(left, clip.left), Math.max(top, clip.top)];
      [right, bottom] = [Math.min(right, clip.right), Math.min(bottom, clip.bottom)];
    }
    return { left, top, right, bottom };
  };
  const layer = (one) => one.closest("dialog, nav, header, #alarms, main");
  const open = document.querySelector("dialog[open]");
  const all = [...document.querySelectorAll("a[href], button, select, input, summary, [tabindex='0']")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && (!open || open.contains(one)));
  const found = [];
  for (const [i, one] of all.entries()) for (const other of all.slice(i + 1)) {
    if (layer(one) !== layer(other) || one.contains(other) || other.contains(one)) continue;
    const [a, b] = [seen(one), seen(other)];
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1 && down > 1) found.push(`${one.outerHTML.slice(0, 70)} and ${other.outerHTML.slice(0, 70)}`);
  }
  return found;
}"""
TOO_SMALL = """() => [...document.querySelectorAll("button, .button, select, input, #nav a")]
  .filter((one) => one.checkVisibility())
  .filter((one) => { const { width, height } = one.getBoundingClientRect(); return width < 48 || height < 48; })
  .map((one) => `too small for gloves: ${one.outerHTML.slice(0, 70)}`)"""
CLOSE = "document.querySelector('dialog')?.close()"

CHECKS = (TOO_WIDE, OVERLAPS, TOO_SMALL)


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrawnLine]:
    drawn = troubled_line(tmp_path_factory.mktemp("troubled"))
    yield drawn
    drawn.journal.close()


@pytest.fixture(scope="module")
def page(line: DrawnLine) -> Iterator[Page]:
    with sync_playwright() as playwright:
        try:
            chromium = browser(playwright)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        with DashboardServer(line, line.journal, DashboardSettings(port=0, token_variable="UNSET")) as server:
            shown = chromium.new_context().new_page()
            shown.set_default_timeout(15_000)
            shown.goto(server.url)
            expect(shown.locator("body")).to_have_attribute("data-connection", "live")
            yield shown
        chromium.close()


def _views(page: Page) -> Iterator[str]:
    for name in PAGES:
        page.evaluate("name => { location.hash = name.toLowerCase(); }", name)
        expect(page).to_have_title(f"{name} · {NAME} · snl-edge")
        page.locator("#page > *").first.wait_for()
        if name in ("Parts", "Scores", "Report"):
            page.locator(".card img, .chart").first.wait_for()
        yield name
        if name == "Parts":
            for verdict in ("reject", "failsafe"):
                page.locator(".card", has=page.locator(f".tab.v-{verdict}")).first.click()
                page.locator("dialog .facts").wait_for()
                yield f"part, {verdict}"
                page.evaluate(CLOSE)
        if name == "Report":
            shifts = page.get_by_label("Shifts begin")
            for given in ("6", ""):
                shifts.fill(given)
                shifts.press("Enter")
                page.locator(".report .bad" if given else ".report .card img").first.wait_for()
                if given:
                    yield "report, refused"
        if name == "Controls":
            page.get_by_label("Order", exact=True).fill(REFUSAL[:60])
            page.get_by_role("button", name="Set order").click()
            page.locator("dialog[open]").wait_for()
            yield "question"
            page.evaluate(CLOSE)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_nothing_overflows_overlaps_or_is_too_small(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    found = {view: [fault for check in CHECKS for fault in page.evaluate(check)] for view in _views(page)}
    assert not {view: faults for view, faults in found.items() if faults}
    expect(page.locator("h1")).to_have_text(NAME)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everything_can_be_read_and_is_named(page: Page, line: DrawnLine, theme: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme=theme)  # pyright: ignore[reportArgumentType]
    found = {view: faults for view in _views(page) if (faults := _axe(page))}
    kept = page.context.new_page()
    with line.journal.reading() as connection:
        now = time.time()
        report = shift_report(connection, Period(now - 86400, now), (), now)
    kept.set_content(report_html(report, line.journal.folder))
    kept.emulate_media(color_scheme=theme)  # pyright: ignore[reportArgumentType]
    found |= {"page to keep": faults} if (faults := _axe(kept)) else {}
    kept.close()
    assert not found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_login_fits_and_can_be_read(page: Page, theme: str) -> None:
    login = page.context.new_page()
    login.emulate_media(color_scheme=theme)  # pyright: ignore[reportArgumentType]
    login.goto(page.evaluate("location.origin") + "/login")
    login.evaluate("document.getElementById('wrong').textContent = 'too many wrong tokens: wait 31 s'")
    for width, height in SIZES:
        login.set_viewport_size({"width": width, "height": height})
        assert [fault for check in CHECKS for fault in login.evaluate(check)] == []
    faults = _axe(login)
    login.close()
    assert not faults


def _axe(page: Page) -> list[str]:
    return [
        f"{fault['id']}: {node['html'][:120]} | {node['failureSummary'][:300]}"
        for fault in Axe().run(page).response["violations"]
        for node in fault["nodes"]
    ]
