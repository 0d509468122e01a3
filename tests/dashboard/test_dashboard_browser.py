"""The dashboard's page in a real browser: what a technician sees and touches.

Needs Chromium: Playwright's own (`playwright install chromium`) or the system's (`apt install chromium`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the stream extra is not installed")
pytest.importorskip("playwright", reason="Playwright is not installed")

from dashboard_line import NAME, DrawnLine, fill
from dashboard_screenshots import browser
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from snl_edge.dashboard.server import DashboardServer
from snl_edge.stream.config.dashboard_settings import DashboardSettings
from snl_edge.stream.control.interface import Check
from snl_edge.stream.journal.journal import Journal

TOKEN = "correct-horse-battery"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            running = browser(playwright)
        except FileNotFoundError as error:
            pytest.skip(str(error))
        yield running
        running.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[DrawnLine]:
    journal = Journal(tmp_path / "journal")
    drawn = DrawnLine(journal, size=64)
    fill(drawn, 36, strangers=1, lost=1)
    yield drawn
    journal.close()


@pytest.fixture
def server(line: DrawnLine, tmp_path: Path) -> Iterator[DashboardServer]:
    (tmp_path / "token").write_text(TOKEN)
    settings = DashboardSettings(port=0, token_file=tmp_path / "token", live_rate=20, stale_seconds=3)
    with DashboardServer(line, line.journal, settings) as running:
        yield running


@pytest.fixture
def stranger(chromium: Browser) -> Iterator[Page]:
    """A tablet that has not logged in; any script error fails the test."""
    context = chromium.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    context.set_default_timeout(15_000)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if "Content Security" in message.text else None)
    yield page
    context.close()
    assert not faults


@pytest.fixture
def page(stranger: Page, server: DashboardServer) -> Page:
    stranger.goto(f"{server.url}/login#token={TOKEN}")  # as from the QR code in the cabinet's door
    stranger.get_by_label("Your name").fill("M. Huber")
    stranger.get_by_role("button", name="Log in").tap()
    expect(stranger.locator("body")).to_have_attribute("data-connection", "live")
    return stranger


def test_token_is_needed(stranger: Page, server: DashboardServer) -> None:
    stranger.goto(f"{server.url}/#scores")
    expect(stranger).to_have_url(f"{server.url}/login#scores")
    stranger.get_by_label("Access token").fill("not-the-right-token")
    stranger.get_by_role("button", name="Log in").tap()
    expect(stranger.get_by_role("alert")).to_have_text("wrong token")
    stranger.get_by_label("Access token").fill(TOKEN)
    stranger.get_by_role("button", name="Log in").tap()
    expect(stranger).to_have_url(f"{server.url}/#scores")
    expect(stranger.locator("#recipe")).to_have_text("hall2-mixed")


def test_live_picture_moves_and_fits_its_verdict(page: Page, line: DrawnLine) -> None:
    camera = page.locator("[data-camera=left]")
    expect(camera.locator("img")).to_be_visible()
    seen = set()
    for defect, word in (("missing_tooth", "REJECT"), ("good", "GOOD"), ("missing_tooth", "REJECT")):
        kind = "reject" if word == "REJECT" else "good"
        while (entry := line.produce("left", "gear", defect)).record.verdict != kind:
            pass
        expect(camera.locator("img")).to_have_attribute("src", re.compile(rf"/left/{entry.id}\?"))
        expect(camera.locator(".verdict strong")).to_have_text(word)
        expect(camera.locator(".who")).to_contain_text(entry.record.part or "")
        assert camera.locator("img").evaluate("image => image.complete && image.naturalWidth") == 64
        seen.add(camera.locator("img").screenshot())
    assert len(seen) == 3
    page.get_by_role("button", name="Heatmap").tap()
    expect(camera.locator("img")).to_have_attribute("src", re.compile("heatmap=false"))
    assert camera.locator("img").screenshot() not in seen


def test_old_picture_does_not_look_live(page: Page, line: DrawnLine) -> None:
    camera = page.locator("[data-camera=left]")
    line.produce("left", "gear")
    expect(camera.locator(".stamp")).to_be_hidden()
    expect(camera.locator(".stamp")).to_be_visible()  # three seconds later
    expect(camera.locator(".stamp")).to_contain_text("LAST PART")
    expect(page.locator("body")).to_have_attribute("data-connection", "live")


def test_lost_connection_is_shown_and_comes_back(
    page: Page, server: DashboardServer, line: DrawnLine, tmp_path: Path
) -> None:
    stop = threading.Event()
    maker = threading.Thread(target=line.run, args=(stop, 0.3))
    maker.start()
    try:
        camera = page.locator("[data-camera=left]")
        expect(camera.locator(".stamp")).to_be_hidden()
        server.stop()
        expect(page.get_by_role("alert")).to_contain_text("CONNECTION LOST")
        expect(camera.locator(".stamp")).to_have_text("NOT LIVE")
        again = DashboardSettings(port=server.port, token_file=tmp_path / "token", live_rate=20)
        with DashboardServer(line, line.journal, again):
            expect(page.get_by_role("alert")).not_to_contain_text("CONNECTION LOST")
            expect(camera.locator(".stamp")).to_be_hidden()
            newest = camera.locator("img").get_attribute("src") or ""
            expect(camera.locator("img")).not_to_have_attribute("src", newest)
    finally:
        stop.set()
        maker.join()


def test_slider_predicts_and_apply_changes_the_threshold(page: Page, line: DrawnLine) -> None:
    _go(page, "Scores")
    page.get_by_role("button", name="gear", exact=True).tap()
    scores = [entry.record.score for entry in line.journal.select("product = 'gear'", ())]
    expect(page.locator("#rejects-now")).to_have_text(str(sum(score > 0.55 for score in scores)))
    apply = page.get_by_role("button", name="Set this threshold")
    expect(apply).to_be_disabled()
    slider = page.get_by_role("slider")
    expect(slider).to_be_visible()
    box = slider.bounding_box()
    assert box
    # Dragged with a finger's breadth, from wherever the thumb is to a tenth of the scale.
    page.mouse.click(box["x"] + box["width"] * 0.2, box["y"] + box["height"] / 2)
    chosen = float(page.locator("output").inner_text())
    assert 0.05 < chosen < 0.5
    predicted = sum(score > chosen for score in scores)
    assert predicted > sum(score > 0.55 for score in scores)
    expect(page.locator("#rejects-then")).to_have_text(str(predicted))
    page.get_by_role("button", name="higher").tap()
    chosen = round(chosen + 0.005, 3)
    expect(page.locator("output")).to_have_text(f"{chosen:.3f}")
    apply.tap()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"0.550 → {chosen:.3f}")
    dialog.get_by_role("button", name="Cancel").tap()
    assert line.status().product_thresholds == {"gear": 0.55}
    apply.tap()
    dialog.get_by_role("button", name=f"Set {chosen:.3f}").tap()
    expect(page.locator("#toast")).to_contain_text(f"{chosen:.3f}")
    assert line.status().product_thresholds == {"gear": chosen}
    assert line.journal.audits()[0].actor == "M. Huber (127.0.0.1)"
    _go(page, "Changes")
    expect(page.locator("tbody tr").first).to_contain_text(f"0.55 → {chosen}")


def test_a_choice_is_not_lost_to_an_answer_that_comes_late(page: Page) -> None:
    _go(page, "Scores")
    expect(page.get_by_role("slider")).to_be_visible()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/api/scores?*", hold)
    page.get_by_role("button", name="gear", exact=True).tap()  # shown already: nothing to ask
    page.get_by_role("button", name="higher").tap()
    expect(page.locator("output")).to_have_text("0.555")
    assert not held
    with page.expect_request("**/api/scores?*"):
        page.get_by_role("button", name="hex_nut", exact=True).tap()
    higher = page.get_by_role("button", name="higher").bounding_box()
    assert higher
    page.mouse.click(higher["x"] + higher["width"] / 2, higher["y"] + higher["height"] / 2)
    expect(page.locator("output")).to_have_text("0.555")  # out of reach until it belongs to the nut
    held.pop().abort()
    page.get_by_role("button", name="Try again").tap()
    while not held:
        page.wait_for_timeout(20)
    held.pop().continue_()
    expect(page.get_by_role("slider")).to_be_visible()
    expect(page.locator("output")).not_to_have_text("0.555")


def test_gallery_filters_and_shows_a_part(page: Page, line: DrawnLine) -> None:
    while len(line.journal.select("verdict = 'reject' AND product = 'gear'", ())) < 2:
        line.produce("left", "gear", "rust")
    _go(page, "Parts")
    counts = line.status().counts
    cards = page.locator(".card")
    expect(cards).to_have_count(min(24, counts["reject"] + counts["unknown"] + counts["failsafe"]))
    page.get_by_role("button", name="REJECT", exact=True).first.tap()
    expect(cards).to_have_count(counts["unknown"] + counts["failsafe"])
    page.get_by_role("button", name="UNKNOWN", exact=True).first.tap()
    page.get_by_role("button", name="FAIL-SAFE", exact=True).first.tap()
    expect(page.locator(".note")).to_have_text("Choose at least one verdict.")
    page.get_by_role("button", name="REJECT", exact=True).first.tap()
    page.get_by_label("Product").select_option("gear")
    gears = line.journal.select("verdict = 'reject' AND product = 'gear' ORDER BY id DESC", ())
    expect(cards).to_have_count(len(gears))
    cards.first.tap()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".facts")).to_contain_text(gears[0].record.part or "")
    expect(dialog.locator("img")).to_have_attribute("src", f"/api/parts/{gears[0].id}/heatmap")
    expect(dialog.locator("rect.core")).to_have_count(len(gears[0].record.blobs))
    dialog.get_by_role("button", name="Heatmap").tap()
    expect(dialog.locator("img")).to_have_attribute("src", f"/api/parts/{gears[0].id}/image")
    page.keyboard.press("ArrowRight")
    expect(dialog.locator(".facts")).to_contain_text(gears[1].record.part or "")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.get_by_role("button", name="No new parts")).to_be_disabled()
    while line.produce("left", "gear", "missing_tooth").record.verdict != "reject":
        pass
    page.get_by_role("button", name="Show new parts").tap()
    newest = line.journal.select("verdict = 'reject' ORDER BY id DESC LIMIT 1", ())[0]
    expect(cards.first).to_have_attribute("data-id", str(newest.id))


def test_what_comes_from_the_line_is_text(page: Page, line: DrawnLine) -> None:
    line.checks = (*line.checks, _check("<img src=x onerror=alert(1)>"))
    _go(page, "Health")
    expect(page.locator(".checks").first).to_contain_text("<img src=x onerror=alert(1)>")


def test_rejects_of_unknown_outcome_stand_until_acknowledged(page: Page, line: DrawnLine) -> None:
    entry = line.produce("left", "gear", "missing_tooth")
    line.journal.append([replace(entry.record, sequence=7000, verdict="reject")], lambda record: ["ejector"])
    line.journal.begin("the next run", "{}")
    _go(page, "Health")
    expect(page.get_by_text("whether 1 reject of run 1 moved")).to_be_visible()
    page.get_by_role("link", name="Look at them").tap()
    expect(page.locator(".card")).to_have_count(1)
    page.locator(".card").tap()
    expect(page.get_by_role("dialog").locator(".facts")).to_contain_text("At ejectorunknown: check the bin")
    page.get_by_role("dialog").get_by_role("button", name="Close").tap()
    _go(page, "Health")
    page.get_by_role("button", name="Acknowledge…").tap()
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge", exact=True).tap()
    expect(page.get_by_role("button", name="Acknowledge…")).to_be_hidden()
    _go(page, "Changes")
    expect(page.locator("tbody tr").first).to_contain_text("M. Huber")


def test_scores_open_on_what_is_made_and_on_what_a_link_said(page: Page, line: DrawnLine) -> None:
    for _ in range(60):
        line.produce("left", "hex_nut")
    expect(page.locator(".strip .cell").last).to_have_attribute("title", re.compile("hex_nut"))
    _go(page, "Scores")
    expect(page.get_by_role("button", name="hex_nut", exact=True)).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="gear", exact=True).tap()
    expect(page).to_have_url(re.compile("product=gear"))
    line.checks = (Check("threshold gear", "warning", "0.95 is far from 0.42, which training chose"),)
    _go(page, "Health")
    page.get_by_role("link", name="Look at its scores").tap()
    expect(page.get_by_role("button", name="gear", exact=True)).to_have_attribute("aria-pressed", "true")


def test_a_part_that_was_not_judged_says_why(page: Page, line: DrawnLine) -> None:
    lost = line.lose("left", "dropped")
    _go(page, "Parts")
    page.locator(f".card[data-id='{lost.id}']").tap()
    facts = page.get_by_role("dialog").locator(".facts")
    expect(facts).to_contain_text("Not judgeddropped: pushed out of the queue")
    expect(facts).not_to_contain_text("not learned")


def test_gallery_by_keyboard(page: Page) -> None:
    _go(page, "Parts")
    cards = page.locator(".card")
    expect(cards.nth(5)).to_be_visible()
    count, columns = (
        cards.count(),
        page.locator(".gallery").evaluate("grid => getComputedStyle(grid).gridTemplateColumns.split(' ').length"),
    )
    assert 1 < columns < count
    cards.first.focus()
    for key, there in (("ArrowRight", 1), ("ArrowDown", 1 + columns), ("ArrowUp", 1), ("End", count - 1), ("Home", 0)):
        page.keyboard.press(key)
        expect(cards.nth(there)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(cards.first).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Older").focus()
    for _ in range(count):  # to the last, where there is nothing older to press
        page.keyboard.press("ArrowRight")
    expect(dialog.get_by_role("button", name="Older")).to_be_disabled()
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("button", name="Older")).to_be_enabled()
    page.keyboard.press("Escape")
    expect(cards.nth(count - 2)).to_be_focused()


def test_report_of_a_time_and_its_files(page: Page, line: DrawnLine, tmp_path: Path) -> None:
    parts = len(line.journal.select("TRUE", ()))
    _go(page, "Report")
    parts_shown = page.locator(".headline .figure").first
    expect(parts_shown).to_contain_text(f"Parts{parts}")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV of all parts").tap()
    download.value.save_as(tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_text("utf-8-sig").count("\n") == parts + 1
    assert download.value.suggested_filename.startswith(f"{NAME}-records-")
    with page.expect_download() as download:
        page.get_by_role("link", name="Page with pictures").tap()
    download.value.save_as(tmp_path / "report.html")
    assert NAME in (tmp_path / "report.html").read_text()
    page.get_by_label("Time").select_option("shift")
    expect(page.get_by_text("Say when shifts begin")).to_be_visible()
    assert page.get_by_role("link", name="CSV of all parts").count() == 0  # of which time, then
    page.get_by_label("Shifts begin").fill("00:00")
    page.get_by_label("Shifts begin").press("Enter")
    expect(page.locator(".report .panel h2").first).to_have_text("By shift")
    page.get_by_label("Time").select_option("8")
    expect(parts_shown).to_contain_text(f"Parts{parts}")
    page.locator(".report .card").first.tap()
    expect(page.get_by_role("dialog")).to_contain_text("REJECT")


def test_pause_asks_first_and_is_shown_everywhere(page: Page, line: DrawnLine) -> None:
    _go(page, "Controls")
    page.get_by_role("button", name="Pause the line").tap()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).tap()
    expect(page.get_by_role("alert")).to_contain_text("LINE PAUSED")
    expect(page.locator("#state")).to_have_text("PAUSED")
    assert line.paused
    page.get_by_role("button", name="Run the self-test").tap()
    expect(page.locator(".result")).to_contain_text("12 of 12")


def test_an_operator_sees_what_an_operator_may(stranger: Page, line: DrawnLine, tmp_path: Path) -> None:
    (tmp_path / "huber").write_text(TOKEN)
    tokens = [{"name": "M. Huber", "role": "operator", "file": tmp_path / "huber"}]
    with DashboardServer(line, line.journal, DashboardSettings(port=0, tokens=tokens)) as server:
        stranger.goto(f"{server.url}/login#token={TOKEN}")
        stranger.get_by_role("button", name="Log in").tap()
        stranger.locator("#nav [data-page=controls]").tap()
        expect(stranger.get_by_text("M. Huber (127.0.0.1), operator")).to_be_visible()
        expect(stranger.get_by_role("button", name="Pause the line")).to_be_visible()
        expect(stranger.get_by_role("heading", name="Shadow mode")).to_have_count(0)
        stranger.locator("#nav [data-page=scores]").tap()
        expect(stranger.get_by_role("button", name="Back to the one in force")).to_be_visible()
        expect(stranger.get_by_role("button", name="Set this threshold")).to_have_count(0)


def test_an_order_is_set_and_shown_with_its_parts(page: Page, line: DrawnLine) -> None:
    page.get_by_role("link", name="Controls").tap()
    expect(page.get_by_text("No order is set")).to_be_visible()
    page.get_by_label("Order", exact=True).fill("4711")
    page.get_by_label("Lot").fill("L22")
    page.get_by_role("button", name="Set order").tap()
    page.get_by_role("dialog").get_by_role("button", name="Set order").tap()
    expect(page.locator(".now", has_text="order 4711, lot L22")).to_be_visible()
    made = line.produce("left", "gear", "missing_tooth")
    page.get_by_role("link", name="Parts").tap()
    order = page.locator(".filters").get_by_label("Order")
    order.fill("4711")
    order.press("Enter")
    expect(page.locator(".gallery .card")).to_have_count(1)
    page.locator(f".card[data-id='{made.id}']").tap()
    expect(page.locator(".facts")).to_contain_text("4711")
    expect(page.locator(".facts")).to_contain_text("L22")


def _go(page: Page, name: str) -> None:
    page.locator("#nav").get_by_role("link", name=name).tap()


def _check(text: str) -> Check:
    return Check("camera left", "warning", text)
