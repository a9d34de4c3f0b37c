"""The README's pictures, taken in JupyterLab in a real Chromium: `make pictures` writes docs/pictures."""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.harness import ROOT
from tests.mail.consent import ARGUMENTS, CHROMIUM
from tests.notebooks.test_browser import command, idle, jupyterlab, run_to

PLACE = ROOT / "docs" / "pictures"


def opened(view: Page, address: str) -> None:
    view.goto(address)
    view.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
    view.wait_for_function("window.jupyterapp !== undefined")
    idle(view)
    command(view, "application:toggle-left-area")
    view.locator(".jp-Notebook .jp-Cell").first.click()


def first_sequence(view: Page) -> None:
    """The switch and the task queue, as a recruiter has them."""
    run_to(view, "outreach.task_queue()")
    view.get_by_role("button", name="Inactive").click()
    view.get_by_text("Activated. Journeys that go: 1.").wait_for()
    view.wait_for_timeout(3_000)  # the clock opens the task; how long is no matter here
    view.get_by_role("button", name="Refresh").nth(1).click()
    idle(view)
    area = view.locator(".jp-Cell", has=view.get_by_role("textbox", name="Text"))
    area.scroll_into_view_if_needed()
    area.screenshot(path=PLACE / "task-queue.png")
    run_to(view, "outreach.down()")


def analytics(view: Page) -> None:
    """The card of a sequence that runs, and its funnel."""
    for _ in range(40):
        command(view, "notebook:run-cell-and-select-next")
        idle(view)
        if view.locator(".vega-embed canvas, .vega-embed svg").count():
            break
    chart = view.locator(".vega-embed").first
    chart.scroll_into_view_if_needed()
    card = view.locator(".or-card", has_text=re.compile("journeys|reached")).last
    card.scroll_into_view_if_needed()
    card.screenshot(path=PLACE / "sequence.png")


def main() -> int:
    PLACE.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for notebook, take in (
            ("01_first_sequence.ipynb", first_sequence),
            ("05_analytics.ipynb", analytics),
        ):
            with (
                tempfile.TemporaryDirectory(prefix="pic-") as folder,
                jupyterlab(Path(folder), notebook) as address,
            ):
                view = browser.new_context(viewport={"width": 1100, "height": 1000}).new_page()
                view.set_default_timeout(30_000)
                opened(view, address)
                take(view)
                view.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
