"""Makes the pictures of the dashboard in docs/images: `PYTHONPATH=. python tests/dashboard_screenshots.py docs/images`.

Shows a drawn line (`dashboard_line.py`), or with `--url` and `--token` any dashboard that runs.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from contract_graph import write_contract_bundle
from dashboard_line import DrawnLine, fill
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from snl_edge.dashboard.server import DashboardServer
from snl_edge.stream.config.dashboard_settings import DashboardSettings
from snl_edge.stream.control.interface import Check
from snl_edge.stream.journal.journal import Journal

DESKTOP, LANDSCAPE, PORTRAIT = (1440, 900), (1024, 768), (768, 1024)
LARGEST = 200_000  # bytes
PRODUCTS = ("gear", "hex_nut", "bottle_cap", "blister")


def browser(playwright: Playwright) -> Browser:
    """Headless Chromium: Playwright's own where it is installed, else the system's (`apt install chromium`).

    Raises:
        FileNotFoundError: there is neither.
    """
    own = Path(playwright.chromium.executable_path)
    found = str(own) if own.is_file() else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise FileNotFoundError("no Chromium: run `playwright install chromium` or `apt install chromium`")
    return playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])


def _moved_slider(page: Page) -> None:
    page.get_by_role("button", name="gear", exact=True).click()
    page.locator(".chart").wait_for()
    for _ in range(20):
        page.get_by_role("button", name="lower").click()


def _open_part(page: Page) -> None:
    page.locator(".card", has=page.locator(".v-reject")).first.click()
    page.locator("dialog.part .fit img").wait_for()


@dataclass(frozen=True)
class Scene:
    """One page to photograph."""

    name: str
    place: str
    before: Callable[[Page], None] | None = None


SCENES = (
    Scene("live", "#live"),
    Scene("parts", "#parts"),
    Scene("part", "#parts", _open_part),
    Scene("scores", "#scores", _moved_slider),
    Scene("report", "#report"),
    Scene("health", "#health"),
    Scene("changes", "#changes"),
    Scene("controls", "#controls"),
)
LOOKS = {
    "desktop-light": (DESKTOP, "light"),
    "desktop-dark": (DESKTOP, "dark"),
    "tablet-light": (LANDSCAPE, "light"),
    "tablet-dark": (LANDSCAPE, "dark"),
    "portrait-light": (PORTRAIT, "light"),
    "portrait-dark": (PORTRAIT, "dark"),
}
IN_DOCS = ("live-desktop-light", "live-portrait-dark", "parts-tablet-light", "part-desktop-dark", "scores-tablet-dark")


@contextmanager
def drawn_dashboard(parts: int) -> Iterator[tuple[str, DrawnLine]]:
    """The address of a dashboard over a drawn line, and the line."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        line = DrawnLine(journal, products=PRODUCTS, size=256)
        line.checks = (
            *line.checks[:5],
            Check("drift hex_nut", "warning", "darker than the reference by 9 %: check the light"),
            *line.checks[5:],
        )
        fill(line, parts, strangers=2, lost=2, span=parts / 12.4)
        line.set_threshold(0.55, "gear", "M. Huber (10.20.4.31)")
        line.self_test("M. Huber (10.20.4.31)")
        line.set_shadow(True, "api (10.20.4.2)")
        line.set_shadow(False, "api (10.20.4.2)")
        for name, bundle in (("hall2-mixed", "mixed"), ("hall2-nuts", "nuts")):
            write_contract_bundle(Path(folder) / "bundles" / bundle, name=name)
        settings = DashboardSettings(port=0, bundles=Path(folder) / "bundles")
        with DashboardServer(line, journal, settings) as server:
            yield server.url, line
        journal.close()


def _fresh_parts(line: DrawnLine) -> None:
    """A reject at the first camera, a good part at the second: moments old when they are photographed."""
    while line.produce("left", "gear", "missing_tooth").record.verdict != "reject":
        pass
    line.produce("right", "bottle_cap")


def photograph(url: str, token: str | None, out: Path, wanted: set[str], line: DrawnLine | None) -> None:
    """Writes `dashboard-<scene>-<look>.jpg` for each wanted name."""
    out.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    with sync_playwright() as playwright, browser(playwright) as chromium:
        for look, ((width, height), scheme) in LOOKS.items():
            context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
            page = context.new_page()
            page.on("pageerror", lambda error: faults.append(str(error)))
            if token:
                context.request.post(f"{url}/api/login", data={"token": token})
            for scene in SCENES:
                if (name := f"{scene.name}-{look}") in wanted:
                    if line and scene.name == "live":
                        _fresh_parts(line)
                    page.goto(f"{url}/")
                    page.wait_for_selector("[data-connection=live]")
                    page.goto(f"{url}/{scene.place}")
                    if scene.before:
                        scene.before(page)
                    page.wait_for_load_state("load")
                    time.sleep(1.2)
                    _compress(page.screenshot(), out / f"dashboard-{name}.jpg")
            context.close()
    assert not faults, faults


def _compress(png: bytes, target: Path) -> None:
    """Writes the best JPEG that is small enough for the repository."""
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    for quality in range(92, 50, -4):
        packed = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])[1]
        if packed.size < LARGEST:
            break
    target.write_bytes(packed.tobytes())


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--url")
    parser.add_argument("--token")
    parser.add_argument("--parts", type=int, default=1500)
    parser.add_argument("--all", action="store_true", help="every scene in every look, not just those in the docs")
    arguments = parser.parse_args()
    wanted = {f"{scene.name}-{look}" for scene in SCENES for look in LOOKS} if arguments.all else set(IN_DOCS)
    with (
        drawn_dashboard(arguments.parts) if arguments.url is None else nullcontext((arguments.url, None)) as (url, line)
    ):
        photograph(url, arguments.token, arguments.out, wanted, line)


if __name__ == "__main__":
    main()
