"""Cards as HTML: everything escaped, readable in light and dark and without JavaScript."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from html import escape
from typing import Any

__all__ = ["banner", "card", "moment", "note", "report_card", "sequence_card", "shortened", "table"]

_STYLE = (
    "<style>.or-card{border:1px solid #8886;border-radius:8px;padding:12px 16px;max-width:760px;"
    "font:14px/1.45 system-ui,sans-serif}.or-card h4{margin:0 0 6px;font-size:16px;unicode-bidi:isolate}"
    ".or-card table{border-collapse:collapse;margin:8px 0}.or-card td,.or-card th{padding:3px 12px 3px 0;"
    "text-align:left;unicode-bidi:isolate}.or-card th{font-weight:600;opacity:.7}.or-note{background:#ffe58f;"
    "color:#3d2f00;border-radius:6px;padding:8px 12px;margin:8px 0}.or-pill{border:1px solid #8886;"
    "border-radius:10px;padding:1px 9px;font-size:12px;margin-left:8px}"
    ".or-soft{opacity:.7;margin:6px 0}</style>"
)


def moment(value: Any) -> str:
    """A time of day as people write it."""
    return (
        f"{value:%d %b %Y, %H:%M:%S %Z}"
        if isinstance(value, dt.datetime)
        else ""
        if value is None
        else str(value)
    )


def banner(text: str | None) -> str:
    """The yellow banner, or nothing."""
    return f'<div class="or-note" role="status">{escape(text)}</div>' if text else ""


def note(text: str | None) -> str:
    """A quiet line, or nothing."""
    return f'<p class="or-soft">{escape(text)}</p>' if text else ""


def shortened(text: str | None, most: int = 160) -> str:
    """On one line, cut where it gets long."""
    line = " ".join((text or "").split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def table(headers: Seq[str], rows: Seq[Seq[Any]]) -> str:
    """A table; every cell escaped."""
    if not rows:
        return ""
    head = "".join(f"<th>{escape(h)}</th>" for h in headers)
    body = "".join("<tr>" + "".join(f"<td>{escape(moment(v))}</td>" for v in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def card(title: str, pill: str | None, *parts: str) -> str:
    """A titled box."""
    tag = f'<span class="or-pill">{escape(pill)}</span>' if pill else ""
    return f'{_STYLE}<div class="or-card"><h4>{escape(title)}{tag}</h4>{"".join(parts)}</div>'


def report_card(counts: Mapping[str, int], notice: str | None) -> str:
    """An enrolment's counts."""
    rows = [(name.replace("_", " "), n) for name, n in counts.items() if n]
    return card("Enrolment", f"{sum(counts.values())} rows", banner(notice), table(["outcome", "rows"], rows))


def sequence_card(
    *,
    name: str,
    status: str,
    problems: Seq[str],
    notices: Seq[str],
    steps: Seq[tuple[int, str, str, str]],
    counts: Mapping[str, int],
    next_due: Seq[tuple[str, Any]],
) -> str:
    """A sequence: what it is, why it doesn't run, how far its journeys are, who is next."""
    causes = "".join(f"<li>{escape(p)}</li>" for p in problems)
    return card(
        name or "Untitled sequence",
        status,
        f"<ul>{causes}</ul>" if causes else "",
        *[banner(n) for n in notices],
        table(["step", "kind", "when", "subject"], steps),
        table(["journeys", ""], sorted(counts.items())),
        table(["next", "due"], next_due),
    )
