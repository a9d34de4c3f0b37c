"""A person in front of a provider's consent page: a real browser, driven from outside."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from tests.mail.emulator import EmulatorMissing

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    "chromium",
)
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@contextmanager
def page(scheme: str = "light") -> Iterator[Page]:
    """An empty page of a browser that has never been anywhere, without JavaScript."""
    if not Path(CHROMIUM).is_file():
        raise EmulatorMissing("The browser tests need Chromium: `make browser` installs it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            context = browser.new_context(java_script_enabled=False, color_scheme=scheme)  # type: ignore[arg-type]
            context.set_default_timeout(20_000)
            yield context.new_page()
        finally:
            browser.close()


def agree(view: Page, address: str) -> None:
    """Choose the account on the consent page."""
    view.locator("form", has=view.locator(f"input[name=email][value='{address}']")).locator("button").click()


def deny(view: Page) -> None:
    """What both providers' Cancel does: back to the redirect address with an error and the state."""
    form = view.locator("form").first
    fields = {n: form.locator(f"input[name={n}]").get_attribute("value") for n in ("redirect_uri", "state")}
    query = urlencode({"error": "access_denied", "state": fields["state"] or ""})
    view.goto(f"{fields['redirect_uri']}?{query}")


class Person:
    """Opens the address it is called with in a browser of its own, in a thread, and acts there."""

    def __init__(self, act: Callable[[Page], Any]) -> None:
        self._act = act
        self.opened: list[str] = []
        self.ended_at: str = ""
        self.saw: str = ""
        self.trouble: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, url: str) -> None:
        self.opened.append(url)
        self._thread = threading.Thread(target=self._run, args=(url,))
        self._thread.start()

    def _run(self, url: str) -> None:
        try:
            with page() as view:
                view.goto(url)
                self._act(view)
                self.ended_at, self.saw = view.url, view.inner_text("body")
        except BaseException as exc:
            self.trouble = exc

    def done(self) -> None:
        assert self._thread is not None
        self._thread.join(40)
        if self.trouble is not None:
            raise self.trouble
