"""Every notebook runs from top to bottom on the embedded default, and is kept without what it printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def shown(path: Path) -> str:
    """All that its cells put out, as text."""
    found = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        for output in cell.get("outputs", []):
            found.append("".join(output.get("text", "")))
            found += ["".join(v) for v in output.get("data", {}).values()]
    return "\n".join(found)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OUTREACH_", "OPENAI_"))}
    env |= {"PYTHONPATH": str(ROOT), "OUTREACH_WEB_PORT": "0", "IPYTHONDIR": str(tmp_path / "ipython")}
    env |= {"OUTREACH_STAGGER_SECONDS": "0", "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    code = "from nbclient.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy), "--inplace", "--timeout=360"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said = shown(copy)
    assert "or-card" in said or path.stem.startswith("05"), "a card was shown"
    assert "Traceback" not in said
    assert not re.search(r"NDk6|fernet|BEGIN PRIVATE", said, re.I)


def test_there_are_notebooks_and_they_are_kept_without_outputs() -> None:
    assert len(NOTEBOOKS) >= 4
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert cell.get("outputs", []) == []
            assert cell.get("execution_count") is None
