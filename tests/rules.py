"""`make rules`: every product rule with the tests that show it, and the rules that have none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def rules() -> dict[int, str]:
    text = (ROOT / "docs" / "rules.md").read_text()
    return {int(n): sentence for n, sentence in re.findall(r"^(\d+)\. (.+)$", text, re.M)}


def shown() -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        whole = [
            n.value
            for n in tree.body
            if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "pytestmark"
        ]
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            of_file = whole if node.name.startswith("test_") else []
            for mark in (*of_file, *node.decorator_list):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.rule":
                    for argument in mark.args:
                        number = int(ast.literal_eval(argument))
                        found.setdefault(number, []).append(f"{path.relative_to(ROOT)}::{node.name}")
    return found


def main() -> None:
    tests = shown()
    for number, sentence in rules().items():
        print(f"{number}. {sentence}")
        for name in tests.get(number, []):
            print(f"     {name}")
    print("\nRules without a test:", ", ".join(str(n) for n in rules() if n not in tests) or "none")


if __name__ == "__main__":
    main()
