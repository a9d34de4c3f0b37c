"""JupyterLab in a real Chromium: notebook 01 run cell by cell, the switch flipped, a manual e-mail edited and sent."""

from __future__ import annotations

import email
import email.policy
import os
import re
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.harness import ROOT, wait_until
from tests.mail.consent import ARGUMENTS, CHROMIUM
from tests.mail.emulator import EmulatorMissing

NOTEBOOK = "01_first_sequence.ipynb"


@contextmanager
def jupyterlab(folder: Path, notebook: str = NOTEBOOK) -> Iterator[str]:
    """Its address, the notebook open; it and its kernels are gone afterwards."""
    shutil.copy(ROOT / "notebooks" / notebook, folder)
    token = secrets.token_hex(16)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OUTREACH_", "OPENAI_", "JUPYTER"))}
    env |= {"PYTHONPATH": str(ROOT), "OUTREACH_WEB_PORT": "0", "OUTREACH_STAGGER_SECONDS": "0"}
    env |= {"OUTREACH_TICK_SECONDS": "0.25", "IPYTHONDIR": str(folder / "ipython")}
    env |= {
        name: str(folder / name.lower())
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")
    }
    env["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    quiet = folder / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    quiet.parent.mkdir(parents=True)
    quiet.write_text('{"fetchNews": "false"}')
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0",
        f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--LabApp.expose_app_in_browser=True",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]  # fmt: skip
    log = folder / "jupyter.log"
    with (
        log.open("w") as sink,
        subprocess.Popen(command, cwd=folder, env=env, stdout=sink, stderr=sink) as server,
    ):
        try:
            found = wait_until(lambda: re.search(r"http://127\.0\.0\.1:\d+", log.read_text()))
            yield f"{found[0]}/lab/tree/{notebook}?token={token}&reset"
            stop = urllib.request.Request(f"{found[0]}/api/shutdown?token={token}", method="POST")
            urllib.request.urlopen(stop, timeout=20).close()
            server.wait(30)
        finally:
            server.kill()


def command(view: Page, name: str, **arguments: str) -> None:
    view.evaluate("([name, args]) => window.jupyterapp.commands.execute(name, args)", [name, arguments])


def wear(view: Page, theme: str) -> None:
    """JupyterLab in its light or dark theme, drawn to the end."""
    command(view, "apputils:change-theme", theme=f"JupyterLab {theme}")
    view.locator(f"body[data-jp-theme-name='JupyterLab {theme}']").wait_for(state="attached")
    view.locator("#jupyterlab-splash").wait_for(state="hidden")


def idle(view: Page) -> None:
    view.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=60_000)


def run_to(view: Page, words: str) -> None:
    """Run cells, each to its end, up to and with the one that holds `words`."""
    for _ in range(40):
        source = view.locator(".jp-Notebook .jp-Cell.jp-mod-active .jp-InputArea-editor").inner_text()
        command(view, "notebook:run-cell-and-select-next")
        idle(view)
        if words in source:
            return
    raise AssertionError(f"no cell holds {words}")


@pytest.fixture
def view() -> Iterator[Page]:
    if not Path(CHROMIUM).is_file():
        raise EmulatorMissing("The browser tests need Chromium: `make browser` installs it.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            context = browser.new_context(viewport={"width": 1280, "height": 1100})
            context.set_default_timeout(30_000)
            yield context.new_page()
        finally:
            browser.close()


@pytest.mark.rule(1, 8)
def test_the_first_notebook_in_jupyterlab(view: Page, tmp_path: Path) -> None:
    with jupyterlab(tmp_path) as address:
        view.goto(address)
        view.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        view.wait_for_function("window.jupyterapp !== undefined")
        idle(view)
        command(view, "application:toggle-left-area")
        view.locator(".jp-Notebook .jp-Cell").first.click()
        run_to(view, "outreach.task_queue()")
        cards = view.locator(".or-card")
        assert "Nobody is enrolled yet" in cards.filter(has_text="Backend engineers").first.inner_text()
        assert "rejected" in cards.filter(has_text="Enrolment").first.inner_text()

        switch = view.get_by_role("button", name="Inactive")
        switch.scroll_into_view_if_needed()
        assert view.get_by_text("1 pending").is_visible()
        switch.click()
        view.get_by_text("Activated. Journeys that go: 1.").wait_for()
        view.locator("button.mod-active", has_text=re.compile(r"^\s*Active")).wait_for()

        queue = view.get_by_role("button", name="Refresh").nth(1)
        text = view.get_by_role("textbox", name="Text")

        def opened() -> bool:
            queue.click()
            idle(view)
            return text.is_visible() and text.input_value() != ""

        wait_until(opened, every=0.3)
        assert "your talk on compilers" in text.input_value()
        assert view.get_by_role("textbox", name="Subject").input_value() == "Hello Mia"
        assert view.get_by_text("It skips itself in 2 d 23 h").is_visible()
        text.fill("Hi Mia,\n\nI read it twice.\n\nAna")
        queue.scroll_into_view_if_needed()
        view.screenshot(path=tmp_path / "queue-light.png")
        wear(view, "Dark")
        view.screenshot(path=tmp_path / "queue-dark.png")
        view.get_by_role("button", name="Send now").click()
        view.get_by_text("On its way to Mia Ek.").wait_for()

        sent = tmp_path / "outreach-notebook" / "mail" / "ana@agency.example" / ".Sent" / "cur"
        found = wait_until(
            lambda: [p for p in sent.iterdir() if b"mia@candidate.example" in p.read_bytes()], seconds=30
        )
        message = email.message_from_bytes(found[0].read_bytes(), policy=email.policy.default)
        assert "I read it twice." in message.get_body(("plain",)).get_content()  # type: ignore[union-attr]

        def counted() -> bool:
            view.get_by_role("button", name="Refresh").nth(0).click()
            idle(view)
            return view.get_by_text("1 completed").is_visible()

        wait_until(counted, every=0.3)
        # A click in an output has made its cell the active one.
        view.locator(".jp-InputArea-editor .cm-content", has_text=re.compile(r"^by_hand$")).click()
        run_to(view, "by_hand")
        cards.last.scroll_into_view_if_needed()
        assert "reached" in cards.last.inner_text()
        view.screenshot(path=tmp_path / "card-dark.png")
        wear(view, "Light")
        view.screenshot(path=tmp_path / "card-light.png")
        run_to(view, "outreach.down()")
        assert not view.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.error']").count()
