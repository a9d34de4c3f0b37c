"""The scenarios of docs/failures.md: the names in its first column, and the tests that carry them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
LATER = "later"


def told() -> dict[str, list[str]]:
    """Scenario -> the tests its row names; "later" and one word why where there is none yet."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "failures.md").read_text().splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 3 or cells[0] == "failure" or set(cells[0]) <= {"-"}:
            continue
        tests = re.findall(r"`([\w/]+\.py::\w+)`", cells[2])
        found[cells[0]] = tests + ([LATER] if re.search(r"\blater: \S", cells[2]) else [])
    return found


def carried() -> dict[str, list[str]]:
    """Scenario -> the tests that bear its name in a marker."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.failure":
                    name = str(ast.literal_eval(mark.args[0]))
                    found.setdefault(name, []).append(f"{path.relative_to(ROOT / 'tests')}::{node.name}")
    return found
