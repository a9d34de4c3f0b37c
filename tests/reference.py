"""The reference of the public names, made of their signatures and docstrings: `make reference` writes it."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import sys
from pathlib import Path
from typing import Any

import outreach_sdk as outreach

PLACE = Path(__file__).parents[1] / "docs" / "reference.md"
HEAD = """# Reference
Made of the code by `make reference`; a test holds it to it. Frames are polars'. Errors derive from
`outreach_sdk.OutreachError`; `permanent` and `retry_after` say whether trying again helps.
"""


def words(thing: Any) -> str:
    text = inspect.getdoc(thing) or ""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    return "\n\n  ".join(p for p in paragraphs if p)


def signature(thing: Any) -> str:
    made, pieces, starred = inspect.signature(thing), [], False
    for p in made.parameters.values():
        if p.name in ("self", "cls"):
            continue
        if p.kind is p.KEYWORD_ONLY and not starred:
            pieces.append("*")
            starred = True
        starred = starred or p.kind is p.VAR_POSITIONAL
        name = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        kind = "" if p.annotation is p.empty else f": {p.annotation}"
        default = (
            "" if p.default is p.empty else f" = {getattr(p.default, '__name__', None) or repr(p.default)}"
        )
        pieces.append(name + kind + default)
    gives = "" if made.return_annotation in (made.empty, "None") else f" -> {made.return_annotation}"
    return f"({', '.join(pieces)}){gives}"


def members(cls: type) -> list[str]:
    lines = []
    names = {n for c in cls.__mro__[:-1] if c.__module__.startswith("outreach_sdk") for n in vars(c)}
    for name in sorted(n for n in names if not n.startswith("_")):
        member = inspect.getattr_static(cls, name)
        if isinstance(member, property):
            settable = " (can be set)" if member.fset else ""
            lines.append(f"- **`.{name}`**{settable}: {words(member)}")
        elif isinstance(member, classmethod):
            lines.append(
                f"- **`{cls.__name__}.{name}{signature(member.__func__)}`**: {words(member.__func__)}"
            )
        elif inspect.isfunction(member):
            lines.append(f"- **`.{name}{signature(member)}`**: {words(member)}")
    return lines


def text() -> str:
    parts = [HEAD]
    functions = [n for n in outreach.__all__ if inspect.isfunction(getattr(outreach, n))]
    parts.append("## Functions")
    parts += [
        f"- **`outreach.{n}{signature(getattr(outreach, n))}`**: {words(getattr(outreach, n))}"
        for n in functions
    ]
    for name in sorted(set(outreach.__all__) - set(functions)):
        cls = getattr(outreach, name)
        if not inspect.isclass(cls):
            continue
        parts.append(f"\n## {name}")
        if issubclass(cls, enum.Enum):
            parts.append(f"{words(cls)} {', '.join(f'`{m.value}`' for m in cls)}.")
            continue
        shown = f"`{name}{signature(cls)}`: " if dataclasses.is_dataclass(cls) else ""
        parts.append(f"{shown}{words(cls)}")
        parts += members(cls) if not issubclass(cls, Exception) else []
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
    sys.exit(0)
