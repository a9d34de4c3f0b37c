"""The README's code runs, top to bottom, and its commands exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from outreach_sdk import cli
from tests.harness import wait_until

ROOT = Path(__file__).parents[2]


def test_the_readmes_python_runs_from_top_to_bottom(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert len(blocks) >= 4
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
    env |= {"PYTHONPATH": str(ROOT), "OUTREACH_WEB_PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "inactive []" in done.stdout
    assert "1 enrolled, 1 rejected" in done.stdout
    assert "Journey(Bo Li:" in done.stdout


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ["polars", "peewee", "rq", "redis", "googleapiclient", "msal", "openai", "flask", "jinja2"]
    code = f"import sys, outreach_sdk; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_command_has_help_and_wrong_usage_is_2(tmp_path: Path) -> None:
    def outreach(*words: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"OUTREACH_HOME": str(tmp_path / "home")}
        return subprocess.run(
            [sys.executable, "-m", "outreach_sdk.cli", *words],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=env,
        )

    listed = re.findall(r"^  ([a-z]+)  ", outreach("--help").stdout, re.M)
    assert {"up", "down", "status", "doctor", "worker", "clock", "web", "migrate", "sequence"} <= set(listed)
    for name in listed:
        assert CliRunner().invoke(cli.outreach, [name, "--help"]).exit_code == 0
    assert outreach("worker", "nonsense").returncode == 2
    missing = outreach("sequence", "show", "Nobody")
    assert missing.returncode == 1
    assert missing.stderr.strip() == "There is no sequence 'Nobody'."
    assert outreach("sequence", "list", "--json").returncode == 0


def test_up_status_and_down_tell_the_truth(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("OUTREACH_")}
    env |= {"OUTREACH_HOME": str(tmp_path / "home"), "OUTREACH_WEB_PORT": "0"}

    def outreach(*words: str) -> dict[str, object]:
        command = [sys.executable, "-m", "outreach_sdk.cli", *words, "--json"]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    outreach("up")
    try:
        everybody = {"clock", "send", "read", "bulk"}
        state = wait_until(lambda: everybody <= set((s := outreach("status"))["alive"]) and s, every=0.2)
        assert state["notice"] is None
    finally:
        assert outreach("down") == {"ended": True}
    after = outreach("status")
    assert after["alive"] == {}
    assert "nothing leaves" in str(after["notice"])
