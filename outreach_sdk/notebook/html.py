"""HTML for cards: everything escaped, readable in light and dark and without JavaScript."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence as Seq
from html import escape
from typing import Any

import nh3

__all__ = [
    "STYLE", "banner", "bar", "bullets", "message", "moment", "note", "pill", "rendered", "safe", "said", "shortened",
    "table",
]  # fmt: skip

# Text takes the notebook's own colour, so that it is as light or dark as what surrounds it; what has a ground of its
# own has text of its own.
STYLE = (
    "<style>.or-card{border:1px solid #8886;border-radius:8px;padding:12px 16px;max-width:860px;color:inherit;"
    "font:14px/1.45 system-ui,sans-serif}.or-card h4{margin:0 0 6px;font-size:16px;unicode-bidi:isolate}"
    ".or-card table{border-collapse:collapse;margin:8px 0;background:none}.or-card td,.or-card th{padding:3px 14px 3px 0;"
    "text-align:left!important;unicode-bidi:isolate;vertical-align:top;max-width:420px;overflow-wrap:anywhere;"
    "background:none;color:inherit}.or-card th{font-weight:600;opacity:.75;overflow-wrap:normal}.or-note{background:#ffe58f;"
    "color:#3d2f00;border-radius:6px;padding:8px 12px;margin:8px 0;unicode-bidi:isolate}.or-pill{border:1px solid #8889;"
    "border-radius:10px;padding:1px 9px;font-size:12px;font-weight:400;margin-left:8px}"
    ".or-soft{opacity:.75;margin:6px 0}.or-card ul{margin:6px 0;padding-left:20px}"
    ".or-bar{margin:8px 0;display:grid;grid-template-columns:max-content 1fr max-content;gap:3px 10px;align-items:center}"
    ".or-bar i{display:block;height:14px;border-radius:3px;background:#4c8dd6}"
    ".or-bar b{font-weight:400}.or-msg{border-left:3px solid #4c8dd6;padding:2px 0 2px 10px;margin:10px 0}"
    ".or-in{border-left-color:#3f9e5a}.or-plan{border-left-style:dashed;opacity:.8}"
    ".or-body{border:1px solid #8884;border-radius:6px;padding:6px 10px;margin:4px 0;max-height:320px;overflow:auto;"
    "contain:content;white-space:normal;unicode-bidi:isolate;overflow-wrap:anywhere}.or-text{white-space:pre-wrap}</style>"
)

# Control characters, and those that turn the writing round or are not seen at all.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff]"
)
_TAGS = {
    "a", "b", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "hr", "i", "li", "ol", "p", "pre", "s",
    "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr", "u", "ul",
}  # fmt: skip


def said(value: Any) -> str:
    """A value as people read it: times written out, without characters that hide or turn what is beside them."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return _UNSEEN.sub("", str(value).replace("\r\n", "\n"))


def moment(value: Any) -> str:
    """A time of day as people write it."""
    return (
        f"{value:%d %b %Y, %H:%M:%S %Z}"
        if isinstance(value, dt.datetime)
        else ""
        if value is None
        else str(value)
    )


def safe(value: Any) -> str:
    """`said`, escaped."""
    return escape(said(value))


def banner(text: str | None) -> str:
    """The yellow banner, or nothing."""
    return f'<div class="or-note" role="status">{safe(text)}</div>' if text else ""


def note(text: str | None) -> str:
    """A quiet line, or nothing."""
    return f'<p class="or-soft">{safe(text)}</p>' if text else ""


def pill(text: str | None) -> str:
    """A word beside a title."""
    return f'<span class="or-pill">{safe(text)}</span>' if text else ""


def bullets(lines: Seq[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{safe(line)}</li>' for line in lines)}</ul>" if lines else ""


def shortened(text: str | None, most: int = 160) -> str:
    """On one line, cut where it gets long."""
    line = " ".join((text or "").split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def table(headers: Seq[str], rows: Seq[Seq[Any]]) -> str:
    """A table; every cell escaped."""
    if not rows:
        return ""
    head = "".join(f"<th>{safe(h)}</th>" for h in headers) if any(headers) else ""
    body = "".join("<tr>" + "".join(f"<td>{safe(v)}</td>" for v in row) + "</tr>" for row in rows)
    top = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f"<table>{top}<tbody>{body}</tbody></table>"


def bar(parts: Seq[tuple[str, int]]) -> str:
    """Counts as bars beside their names, the longest the whole width."""
    most = max((n for _, n in parts), default=0)
    if not most:
        return ""
    lines = "".join(
        f'<span>{safe(name)}</span><i style="width:{100 * n / most:.1f}%"></i><b>{n:,}</b>'
        for name, n in parts
    )
    return f'<div class="or-bar">{lines}</div>'


def rendered(value: str) -> str:
    """An e-mail's HTML as it may be shown: without scripts, styles, forms, frames, and pictures that would be fetched;
    links lead out, with nothing of this page."""
    return nh3.clean(
        value,
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "td": {"colspan", "rowspan"}, "th": {"colspan", "rowspan"}},
        url_schemes={"https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def message(
    *,
    head: Seq[Any],
    title: str,
    kind: str,
    html: str | None = None,
    text: str | None = None,
    open_: bool = True,
) -> str:
    """One e-mail of a conversation. `kind`: "out", "in" or "plan"; `html` is shown rendered, else `text`."""
    line = " · ".join(x for x in map(safe, head) if x)
    extra = {"in": " or-in", "plan": " or-plan"}.get(kind, "")
    body = ""
    if html:
        body = f'<div class="or-body">{rendered(_UNSEEN.sub("", html))}</div>'
    elif text:
        body = f'<div class="or-body or-text">{safe(text)}</div>'
    if body and title:
        state = " open" if open_ else ""
        body = f"<details{state}><summary>{safe(title)}</summary>{body}</details>"
    elif title:
        body = f"<div>{safe(title)}</div>"
    return f'<div class="or-msg{extra}"><div class="or-soft">{line}</div>{body}</div>'
