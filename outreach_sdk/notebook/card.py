"""A card: what an object shows of itself, as HTML in a notebook, in colour in a terminal, as text anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outreach_sdk.errors import OutreachError
from outreach_sdk.notebook import html

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["Banner", "Bar", "Bullets", "Card", "Mail", "Note", "Shown", "Table"]

_WIDTH = 60


@dataclass(frozen=True, slots=True)
class Banner:
    """What keeps things from going on, in yellow."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Note:
    """A quiet line."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list of sentences."""

    lines: Seq[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of values."""

    headers: Seq[str]
    rows: Seq[Seq[Any]]


@dataclass(frozen=True, slots=True)
class Bar:
    """Counts that are to be compared."""

    parts: Seq[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Mail:
    """One e-mail or event of a conversation; `kind` is "out", "in" or "plan"."""

    head: Seq[Any]
    title: str
    kind: str
    html: str | None = None
    text: str | None = None
    open_: bool = True


Part = Banner | Note | Bullets | Table | Bar | Mail


@dataclass(frozen=True, slots=True)
class Card:
    """A title with a word beside it, and what is beneath."""

    title: str
    pill: str | None = None
    parts: Seq[Part] = field(default_factory=tuple)

    def html(self) -> str:
        """For a notebook."""
        made = "".join(_html(p) for p in self.parts)
        title = f"<h4>{html.safe(self.title)}{html.pill(self.pill)}</h4>"
        return f'{html.STYLE}<div class="or-card">{title}{made}</div>'

    def text(self) -> str:
        """For wherever there is nothing but letters."""
        head = f"{html.said(self.title)} [{html.said(self.pill)}]" if self.pill else html.said(self.title)
        lines = [" ".join(head.split())]
        for part in self.parts:
            lines += _text(part)
        return "\n".join(lines)

    def rich(self) -> RenderableType:
        """For a terminal, by rich."""
        from rich.console import Group
        from rich.panel import Panel
        from rich.text import Text

        title = Text(html.said(self.title), style="bold")
        if self.pill:
            title.append(f"  {html.said(self.pill)}", style="cyan")
        shown = [r for r in (_rich(p) for p in self.parts) if r is not None]
        return Panel(Group(*shown), title=title, title_align="left", border_style="dim", expand=False)


def _html(part: Part) -> str:
    match part:
        case Banner(text):
            return html.banner(text)
        case Note(text):
            return html.note(text)
        case Bullets(lines):
            return html.bullets(lines)
        case Table(headers, rows):
            return html.table(headers, rows)
        case Bar(parts):
            return html.bar(parts)
        case Mail():
            return html.message(
                head=part.head,
                title=part.title,
                kind=part.kind,
                html=part.html,
                text=part.text,
                open_=part.open_,
            )


def _text(part: Part) -> list[str]:
    match part:
        case Banner(text):
            return [f"! {html.said(text)}"] if text else []
        case Note(text):
            return [html.said(text)] if text else []
        case Bullets(lines):
            return [f"- {html.said(line)}" for line in lines]
        case Table(headers, rows):
            return _aligned(headers, rows)
        case Bar(parts):
            most = max((n for _, n in parts), default=0)
            wide = max((len(name) for name, _ in parts), default=0)
            return [
                f"{html.said(name):<{wide}}  {'█' * max(round(24 * n / most), n > 0):<24} {n:,}"
                for name, n in parts
                if most
            ]
        case Mail():
            head = " · ".join(x for x in map(html.said, part.head) if x)
            arrow = {"in": "<-", "plan": "··"}.get(part.kind, "->")
            body = html.shortened(html.said(part.text), 200)
            line = "  ".join(x for x in (head, html.said(part.title)) if x)
            return [*([f"{arrow} {line}"] if line else []), *([f"   {body}"] if body else [])]


def _aligned(headers: Seq[str], rows: Seq[Seq[Any]]) -> list[str]:
    if not rows:
        return []
    shown = (headers, *rows) if any(headers) else rows
    cells = [[html.shortened(html.said(v), _WIDTH) for v in row] for row in shown]
    wide = [max(len(row[n]) for row in cells) for n in range(len(headers))]
    return ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in cells]


def _rich(part: Part) -> RenderableType | None:
    from rich import box
    from rich.table import Table as RichTable
    from rich.text import Text

    match part:
        case Banner(text):
            return Text(f" {html.said(text)} ", style="black on yellow") if text else None
        case Note(text):
            return Text(html.said(text), style="dim") if text else None
        case Table(headers, rows):
            if not rows:
                return None
            made = RichTable(box=box.SIMPLE, pad_edge=False, show_header=any(headers))
            for header in headers:
                made.add_column(Text(html.said(header)))
            for row in rows:
                made.add_row(*[Text(html.shortened(html.said(v), _WIDTH)) for v in row])
            return made
        case _:
            lines = _text(part)
            return Text("\n".join(lines)) if lines else None


class Shown:
    """Gives an object its looks, all of one card. A look never raises: where the database is gone, it says so."""

    if TYPE_CHECKING:

        def _card(self) -> Card: ...

    def _looks(self) -> Card:
        return safely(self._card, type(self).__name__)

    def _repr_html_(self) -> str:
        return self._looks().html()

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """Both looks at once: https://ipython.readthedocs.io/en/stable/config/integrating.html"""
        wanted = {"text/html", "text/plain"} & set(include or ("text/html", "text/plain")) - set(
            exclude or ()
        )
        looks = {"text/html": self._repr_html_, "text/plain": self.__repr__}
        return {kind: make() for kind, make in looks.items() if kind in wanted}

    def __rich__(self) -> RenderableType:
        return self._looks().rich()

    def __repr__(self) -> str:
        try:
            return html.said(self._line())
        except Exception as exc:
            return f"{type(self).__name__}({_why(exc)})"

    def _line(self) -> str:
        """What it is, on one line or a few."""
        return self._card().text()


def safely(make: Callable[[], Card], name: str) -> Card:
    """The card, or one that says why there is none."""
    try:
        return make()
    except Exception as exc:
        return Card(name, None, [Banner(_why(exc))])


def _why(exc: Exception) -> str:
    if isinstance(exc, OutreachError):
        return str(exc)
    return f"It can't be shown right now ({type(exc).__name__})."
