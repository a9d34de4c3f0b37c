"""Texts put into templates: snippets by their names, and texts that are to come out as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

__all__ = ["expand", "literal", "snippet_names"]

_SNIPPET = re.compile(r"""\{\{-?\s*snippet\(\s*(["'])([^"'\\\n]{1,200})\1\s*\)\s*-?\}\}""")


def expand(source: str, snippets: Mapping[str, str], *, change: Callable[[str], str] = str) -> str:
    """`source` with snippets in the place of their names, `change`d to fit; unknown ones stay. Once: what a snippet
    holds isn't looked at again."""
    if "snippet" not in source:
        return source
    return _SNIPPET.sub(lambda m: change(snippets[m[2]]) if m[2] in snippets else m[0], source)


def snippet_names(source: str) -> list[str]:
    """The snippets that `source` calls."""
    return [m[2] for m in _SNIPPET.finditer(source)]


def literal(text: str, *, plain: bool = False) -> str:
    """A template that comes out as `text`, whatever it holds; `plain`: nor does it look like HTML then."""
    return re.sub(r"[{<]" if plain else r"\{", lambda m: f"{{{{ '{m[0]}' }}}}", text)
