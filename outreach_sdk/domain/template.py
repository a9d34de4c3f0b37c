"""Merge fields: parse, check, render.

A template is a small part of Jinja2: `{{ field }}`, `{{ field | fallback('there') }}`, `{% if field %}`, and two
calls with nothing but texts in them: `{{ snippet("intro") }}` and `{{ ai("One line on {{ company }}", fallback="…") }}`.
Everything else (loops, macros, includes, attributes, subscripts, other calls) is refused when it is parsed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import escape

from outreach_sdk.domain.field_names import normalise_field
from outreach_sdk.domain.given import without_controls
from outreach_sdk.errors import MissingField, TemplateError

__all__ = [
    "FILTERS",
    "MAX_OUTPUT_CHARS",
    "MAX_SOURCE_BYTES",
    "Fields",
    "Prompt",
    "Template",
    "calls",
    "fields",
    "fill",
    "missing",
    "normalise_field",
    "parse",
    "prompts",
    "render",
    "render_subject",
]

MAX_SOURCE_BYTES = 64 * 1024
MAX_OUTPUT_CHARS = 256 * 1024
_MAX_DEPTH = 40

# Names get this prefix when compiled, so that a field called `self` or `loop` means nothing to Jinja.
_PREFIX = "f_"
_CALLS = {"ai": "call_ai", "snippet": "call_snippet"}
MAX_PROMPT_CHARS = 2_000

_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]")


class _Absent(str):
    """Stands for a field the candidate lacks: false, equal to '', and noted down when it is printed."""

    name: str
    sink: list[str]
    __slots__ = ("name", "sink")

    def __new__(cls, name: str, sink: list[str]) -> _Absent:
        self = super().__new__(cls, "")
        self.name, self.sink = name, sink
        return self

    def __str__(self) -> str:
        if self.name not in self.sink:
            self.sink.append(self.name)
        return ""

    def __html__(self) -> str:
        return str(self)


def _over(change: Callable[[str], str]) -> Callable[[str], str]:
    """A filter that lets an absent field pass, so that `field | title | fallback('x')` works."""

    def apply(value: str) -> str:
        return value if isinstance(value, _Absent) else change(f"{value}")

    return apply


def _fallback(value: str, instead: str, _boolean: bool = True) -> str:
    return value if value else instead


def _title(value: str) -> str:
    return re.sub(
        r"[^\W\d_]+(?:['’][^\W\d_]+)?", lambda m: m.group()[:1].upper() + m.group()[1:].lower(), value
    )


FILTERS: dict[str, Callable[..., str]] = {
    "fallback": _fallback,
    "default": _fallback,
    "upper": _over(str.upper),
    "lower": _over(str.lower),
    "title": _over(_title),
    "trim": _over(str.strip),
    "capitalize": _over(str.capitalize),
    "first_word": _over(lambda value: value.split()[0] if value.split() else ""),
}
"""What a template may pipe a field through. `fallback` takes an empty field for an absent one."""

_ALLOWED: tuple[type[nodes.Node], ...] = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Filter, nodes.Const, nodes.If,
    nodes.CondExpr, nodes.Not, nodes.And, nodes.Or, nodes.Compare, nodes.Operand, nodes.Test,
)  # fmt: skip


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=html, keep_trailing_newline=True, cache_size=0
    )
    env.globals.clear()
    env.filters.clear()
    env.filters.update(FILTERS)
    env.tests.clear()
    env.tests["defined"] = lambda value: not isinstance(value, _Absent)
    env.tests["undefined"] = lambda value: isinstance(value, _Absent)
    return env


_ENVIRONMENTS = {html: _environment(html=html) for html in (False, True)}


@dataclass(frozen=True, slots=True)
class Fields:
    """`required`: printed somewhere with nothing to fall back on; `optional`: every other use."""

    required: frozenset[str]
    optional: frozenset[str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One `ai(…)` for one person: `text` is what the model is asked, its fields filled; None where one of them is
    missing, and then `fallback` stands."""

    digest: str
    text: str | None
    fallback: str


@dataclass(frozen=True, slots=True)
class Template:
    """A template that has passed every check."""

    source: str
    fields: Fields


def _refuse(field: str, line: int, shown: object, remedy: str) -> TemplateError:
    return TemplateError(f"{field}, line {line}", shown, remedy)


# `{{ First Name }}` as other tools write it; words that are operators keep their meaning.
_SPACED = re.compile(r"(\{\{-?[ \t]*)([^\W\d]\w*(?:[ \t]+\w+)+)(?=[ \t]*(?:\||-?\}\}))")
_OPERATORS = {"if", "else", "and", "or", "not", "is", "in", "true", "false", "none"}


def _join_spaced(match: re.Match[str]) -> str:
    words = match.group(2).split()
    if _OPERATORS & {w.lower() for w in words}:
        return match.group()
    return match.group(1) + "_".join(words)


def _syntax(source: str, field: str) -> nodes.Template:
    if len(source) > MAX_SOURCE_BYTES or len(source.encode("utf-8", "replace")) > MAX_SOURCE_BYTES:
        raise TemplateError(
            field, f"{len(source)} characters", f"Keep a template under {MAX_SOURCE_BYTES // 1024} KiB."
        )
    try:
        tree = _ENVIRONMENTS[False].parse(_SPACED.sub(_join_spaced, source))
    except jinja2.TemplateSyntaxError as exc:
        raise _refuse(
            field,
            exc.lineno,
            _line(source, exc.lineno),
            f"It doesn't parse: {(exc.message or '?').rstrip('.')}.",
        ) from exc
    except (RecursionError, ValueError, OverflowError) as exc:
        raise TemplateError(field, source, "It is nested too deeply or holds an impossible value.") from exc
    _check(tree, source, field)
    return tree


def _line(source: str, number: int) -> str:
    lines = source.splitlines()
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _check(tree: nodes.Template, source: str, field: str) -> None:
    stack: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        line = getattr(node, "lineno", 1) or 1
        if isinstance(node, nodes.Call):
            _check_call(node, source, field, line)
            continue
        if not isinstance(node, _ALLOWED):
            raise _refuse(
                field,
                line,
                _line(source, line),
                f"{type(node).__name__} isn't allowed: use {{{{ field }}}}, "
                "{{ field | fallback('…') }}, {% if field %}, snippet('…') and ai('…', fallback='…').",
            )
        if depth > _MAX_DEPTH:
            raise _refuse(field, line, _line(source, line), "It is nested too deeply.")
        if isinstance(node, nodes.Name):
            if node.ctx != "load" or not normalise_field(node.name):
                raise _refuse(field, line, node.name, "A template can't set fields.")
            node.name = _PREFIX + normalise_field(node.name)
        elif isinstance(node, nodes.CondExpr) and node.expr2 is None:
            node.expr2 = nodes.Const("", lineno=line, environment=node.environment)
        elif isinstance(node, nodes.Filter):
            _check_filter(node, field, line)
        elif isinstance(node, nodes.Test):
            if node.name not in ("defined", "undefined") or node.args or node.kwargs:
                raise _refuse(field, line, node.name, "Use `is defined`, or just {% if field %}.")
        elif isinstance(node, nodes.Operand):
            if node.op not in ("eq", "ne"):
                raise _refuse(field, line, node.op, "Compare with == or != only.")
        elif isinstance(node, nodes.Const) and not isinstance(node.value, str | bool | int | float | None):
            raise _refuse(field, line, node.value, "Use text between quotes.")
        stack.extend((child, depth + 1) for child in node.iter_child_nodes())


def _check_call(node: nodes.Call, source: str, field: str, line: int) -> None:
    """Only `snippet("name")` and `ai("prompt", fallback="text")`, with nothing but texts between the brackets."""
    name = node.node.name if isinstance(node.node, nodes.Name) else ""
    named = {k.key: k.value for k in node.kwargs}
    texts = all(
        isinstance(v, nodes.Const) and isinstance(v.value, str) for v in (*node.args, *named.values())
    )
    plain = texts and node.dyn_args is None and node.dyn_kwargs is None and len(node.args) == 1
    if name == "snippet" and plain and not named:
        pass
    elif name == "ai" and plain and set(named) == {"fallback"}:
        prompt = _word(node)
        if not prompt.strip() or len(prompt) > MAX_PROMPT_CHARS:
            raise _refuse(field, line, prompt, f"Write a prompt of 1 to {MAX_PROMPT_CHARS} characters.")
        for text in (prompt, str(getattr(named["fallback"], "value", ""))):
            if _syntax(text, f"{field}, in ai(…)").find(nodes.Call) is not None:
                raise _refuse(field, line, text, "Prompt and fallback may hold merge fields, no calls.")
    else:
        remedy = (
            "Call only snippet('name') and ai('a prompt', fallback='what stands where nothing is written')."
        )
        raise _refuse(field, line, _line(source, line), remedy)
    node.node = nodes.Name(_CALLS[name], "load", lineno=line, environment=node.environment)


def _check_filter(node: nodes.Filter, field: str, line: int) -> None:
    if node.node is None or node.name not in FILTERS:
        raise _refuse(field, line, node.name, f"Use one of the filters {', '.join(sorted(FILTERS))}.")
    most = {"fallback": 1, "default": 2}.get(node.name, 0)
    least = min(most, 1)
    if node.kwargs or node.dyn_args or node.dyn_kwargs or not least <= len(node.args) <= most:
        wanted = "one value, like fallback('there')" if most else "no value"
        raise _refuse(field, line, node.name, f"{node.name} takes {wanted}.")


def _uses(node: nodes.Node, guarded: frozenset[str]) -> Iterator[tuple[str, bool]]:
    """(field, required) for every use of a field below `node`."""
    if isinstance(node, nodes.Name):
        yield node.name.removeprefix(_PREFIX), node.name not in guarded
    elif isinstance(node, nodes.Call):
        if isinstance(node.node, nodes.Name) and node.node.name == _CALLS["ai"]:
            for text in (_word(node), *(str(getattr(k.value, "value", "")) for k in node.kwargs)):
                yield from ((name, False) for name, _ in _uses(_syntax(text, "ai(…)"), guarded))
    elif isinstance(node, nodes.Filter) and node.name in ("fallback", "default"):
        if node.node is not None:
            yield from ((name, False) for name, _ in _uses(node.node, guarded))
        for argument in node.args:
            yield from _uses(argument, guarded)
    elif isinstance(node, nodes.If):
        yield from ((name, False) for name, _ in _uses(node.test, guarded))
        inside, outside = guarded | _present(node.test, True), guarded | _present(node.test, False)
        for child in node.body:
            yield from _uses(child, inside)
        for child in (*node.elif_, *node.else_):
            yield from _uses(child, outside)
    elif isinstance(node, nodes.CondExpr):
        yield from ((name, False) for name, _ in _uses(node.test, guarded))
        yield from _uses(node.expr1, guarded | _present(node.test, True))
        if node.expr2 is not None:
            yield from _uses(node.expr2, guarded | _present(node.test, False))
    elif isinstance(node, nodes.Compare | nodes.Test | nodes.Not):
        yield from ((n, False) for c in node.iter_child_nodes() for n, _ in _uses(c, guarded))
    else:
        for child in node.iter_child_nodes():
            yield from _uses(child, guarded)


def _word(call: nodes.Call) -> str:
    """The text that a checked call was given."""
    given = call.args[0]
    return str(given.value) if isinstance(given, nodes.Const) else ""


def _present(test: nodes.Node, outcome: bool) -> frozenset[str]:
    """Fields that surely aren't empty when `test` came out as `outcome`."""
    if isinstance(test, nodes.Name):
        return frozenset((test.name,)) if outcome else frozenset()
    if isinstance(test, nodes.Not):
        return _present(test.node, not outcome)
    if isinstance(test, nodes.And if outcome else nodes.Or):
        return _present(test.left, outcome) | _present(test.right, outcome)
    if isinstance(test, nodes.Test):
        return _present(test.node, True) if outcome == (test.name == "defined") else frozenset()
    return frozenset()


@lru_cache(maxsize=1024)
def parse(source: str, *, field: str = "template") -> Template:
    """Check `source`; raises TemplateError naming `field` and the line."""
    tree = _syntax(source, field)
    uses = list(_uses(tree, frozenset()))
    required = frozenset(name for name, needed in uses if needed)
    _compiled(source, False)
    return Template(source, Fields(required, frozenset(name for name, _ in uses) - required))


_Writer = Callable[[Mapping[str, Any]], Iterator[str]]
"""Gives a text piece by piece; takes fields by their prefixed names, and calls."""


def _parts(tree: nodes.Template) -> tuple[tuple[str, bool], ...] | None:
    """(text, False) and (field, True) in order, of a template that is nothing but texts and fields."""
    parts: list[tuple[str, bool]] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for piece in output.nodes:
            if isinstance(piece, nodes.TemplateData):
                parts.append((piece.data, False))
            elif isinstance(piece, nodes.Name):
                parts.append((piece.name, True))
            else:
                return None
    return tuple(parts)


def _written(
    parts: tuple[tuple[str, bool], ...], shown: Callable[[Any], str], context: Mapping[str, Any]
) -> Iterator[str]:
    """What Jinja would write, for a tenth of its time: most e-mails hold texts and fields alone."""
    return (shown(context[part]) if field else part for part, field in parts)


@lru_cache(maxsize=1024)
def _compiled(source: str, html: bool) -> tuple[_Writer, frozenset[str], bool]:
    """What writes `source`, the fields it takes, and whether it takes calls too."""
    tree = _syntax(source, "template")
    names = frozenset(
        n.name.removeprefix(_PREFIX) for n in tree.find_all(nodes.Name) if n.name.startswith(_PREFIX)
    )
    parts = _parts(tree)
    if parts is not None:
        return partial(_written, parts, escape if html else str), names, False
    try:
        return _ENVIRONMENTS[html].from_string(tree).generate, names, True
    except (SyntaxError, RecursionError, MemoryError, ValueError) as exc:
        raise TemplateError("template", source, "It is too long or nested too deeply.") from exc


def fields(source: str) -> Fields:
    """The fields `source` names, normalised."""
    return parse(source).fields


def _plain(value: object, *, one_line: bool) -> str:
    # str.__str__ also strips a Markup of its promise to be safe HTML.
    text = str.__str__(value) if isinstance(value, str) else "" if value is None else str(value)
    text = _INVISIBLE.sub(" " if one_line else "", text.replace("\r\n", "\n").replace("\r", "\n"))
    return " ".join(text.split()) if one_line else text.strip()


def _run(
    source: str,
    data: Mapping[str, Any],
    *,
    html: bool,
    one_line: bool = False,
    passages: Mapping[str, str] = MappingProxyType({}),
    asked: list[Prompt] | None = None,
) -> tuple[str, list[str]]:
    write, names, calling = _compiled(source, html)
    absent: list[str] = []
    known: dict[str, str] = {}
    for key, value in data.items():
        name = normalise_field(key)
        if name in names and not known.get(name):
            known[name] = _plain(value, one_line=one_line)
    context: dict[str, Any] = {_PREFIX + name: known.get(name) or _Absent(name, absent) for name in names}

    def ai(prompt: str, fallback: str) -> str:
        found = _prompt(prompt, data, fallback)
        if asked is not None:
            asked.append(found)
        if found.digest in passages:
            return " ".join(passages[found.digest].split())
        instead, lacks = _run(fallback, data, html=False, one_line=True)
        absent.extend(name for name in lacks if name not in absent)
        return " ".join(instead.split())

    if calling:
        context |= {_CALLS["ai"]: ai, _CALLS["snippet"]: _unknown_snippet}
    pieces: list[str] = []
    size = 0
    for piece in write(context):
        size += len(piece)
        if size > MAX_OUTPUT_CHARS:
            raise TemplateError(
                "template",
                f"{source[:40]}…",
                f"The text comes out longer than {MAX_OUTPUT_CHARS} characters.",
            )
        pieces.append(piece)
    return without_controls("".join(pieces)), absent


def _unknown_snippet(name: str) -> str:
    raise TemplateError("snippet", name, "There is no snippet of this name: ws.snippet(name, text) makes it.")


def _prompt(source: str, data: Mapping[str, Any], fallback: str) -> Prompt:
    text: str | None = None
    with suppress(MissingField):
        text = render_subject(source, data)
    told = text if text is not None else f"\0{source}"
    return Prompt(hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:32], text, fallback)


def prompts(source: str, data: Mapping[str, Any]) -> list[Prompt]:
    """What the model is asked in rendering `source` for this person, in order, each once."""
    if "ai" not in source:
        return []
    asked: list[Prompt] = []
    _run(source, data, html=False, asked=asked)
    return list({p.digest: p for p in asked}.values())


def calls(source: str) -> bool:
    """Whether `source` holds a snippet or an AI passage."""
    return _syntax(source, "template").find(nodes.Call) is not None


def fill(
    source: str,
    data: Mapping[str, Any],
    *,
    html: bool,
    passages: Mapping[str, str] = MappingProxyType({}),
) -> tuple[str, list[str]]:
    """What `render` gives, and what `missing` would name, in one pass: only what misses nothing may leave."""
    return _run(source, data, html=html, passages=passages)


def missing(
    source: str, data: Mapping[str, Any], *, passages: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """The fields this rendering would print and `data` doesn't have, in order. Empty counts as missing;
    a field that only a branch not taken would print doesn't."""
    return _run(source, data, html=False, passages=passages)[1]


def render(
    source: str,
    data: Mapping[str, Any],
    *,
    html: bool,
    passages: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """`source` filled with `data` (keys in any spelling `normalise_field` knows) and `passages` (by their prompt's
    digest; a fallback stands for what isn't there).

    `html`: values are escaped. Raises MissingField with every missing name, or TemplateError.
    """
    text, absent = _run(source, data, html=html, passages=passages)
    if absent:
        raise MissingField(absent)
    return text


def render_subject(source: str, data: Mapping[str, Any]) -> str:
    """A subject: like `render` without escaping, on one line whatever the values hold."""
    text, absent = _run(source, data, html=False, one_line=True)
    if absent:
        raise MissingField(absent)
    return " ".join(text.split())
