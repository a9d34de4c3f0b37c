"""Charts of frames, by altair (the extra `notebook`)."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from outreach_sdk.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["coverage", "funnel", "load", "replies", "timeline"]

Chart = Any

# Okabe and Ito's colours, told apart by everybody: https://jfly.uni-koeln.de/color/
_BLUE, _GREEN, _GREY, _RED = "#0072b2", "#009e73", "#bbbbbb", "#d55e00"
_KINDS = {
    "interested": _GREEN,
    "question": "#56b4e9",
    "not_now": "#e69f00",
    "referral": "#cc79a7",
    "not_interested": _RED,
    "wrong_person": "#7f7f7f",
    "unsubscribe": "#4d4d4d",
    "unclear": _GREY,
}


def _altair() -> ModuleType:
    try:
        import altair
    except ImportError:
        raise ConfigError("Charts need altair: pip install 'outreach-sdk[notebook]'.") from None
    if altair.renderers.active == "default":  # which has the browser fetch its program from a CDN
        altair.renderers.enable("mimetype")
    return altair


def _framed(chart: Chart, title: str, *, height: int | None = None) -> Chart:
    # A ground of its own, so that it can be read in a dark notebook too.
    size = {"width": 560} if height is None else {"width": 560, "height": height}
    return chart.properties(title=title, background="white", **size)


def funnel(stages: pl.DataFrame, title: str) -> Chart:
    """`stages`: stage, people, in order."""
    alt = _altair()
    order = stages["stage"].to_list()
    base = alt.Chart(stages).encode(
        y=alt.Y("stage:N", sort=order, title=None),
        x=alt.X("people:Q", title="people", axis=alt.Axis(format=",d", tickMinStep=1)),
        tooltip=["stage:N", "people:Q"],
    )
    labels = base.mark_text(align="left", dx=4).encode(text=alt.Text("people:Q", format=",d"))
    return _framed(base.mark_bar(color=_BLUE) + labels, title)


def replies(kinds: pl.DataFrame, title: str) -> Chart:
    """`kinds`: step, kind, people."""
    alt = _altair()
    chart = (
        alt.Chart(kinds)
        .mark_bar()
        .encode(
            x=alt.X("step:O", title="credited to step", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("sum(people):Q", title="people who answered", axis=alt.Axis(format=",d", tickMinStep=1)),
            color=alt.Color(
                "kind:N",
                title="latest answer",
                scale=alt.Scale(domain=list(_KINDS), range=list(_KINDS.values())),
            ),
            tooltip=["step:O", "kind:N", "people:Q"],
        )
    )
    return _framed(chart, title, height=260)


def timeline(sends: pl.DataFrame, title: str, now: Any) -> Chart:
    """`sends`: at (the beginning of a stretch), what ("sent" or "planned"), emails; `now` is drawn as a line."""
    alt = _altair()
    bars = (
        alt.Chart(sends)
        .mark_bar()
        .encode(
            x=alt.X("utcyearmonthdatehours(at):T", title="UTC"),
            y=alt.Y("sum(emails):Q", title="e-mails", axis=alt.Axis(format=",d", tickMinStep=1)),
            color=alt.Color(
                "what:N", title=None, scale=alt.Scale(domain=["sent", "planned"], range=[_BLUE, _GREY])
            ),
            tooltip=["utcyearmonthdatehours(at):T", "what:N", "sum(emails):Q"],
        )
    )
    line = alt.Chart(alt.Data(values=[{"at": now.isoformat()}])).mark_rule(strokeDash=[4, 4]).encode(x="at:T")
    return _framed(bars + line, title, height=220)


def load(days: pl.DataFrame, title: str) -> Chart:
    """`days`: day, emails, cap (null: none)."""
    alt = _altair()
    base = alt.Chart(days).encode(x=alt.X("utcyearmonthdate(day):O", title="day (UTC)"))
    bars = base.mark_bar(color=_BLUE).encode(
        y=alt.Y("emails:Q", title="e-mails", axis=alt.Axis(format=",d", tickMinStep=1)),
        tooltip=["utcyearmonthdate(day):T", "emails:Q", "cap:Q"],
    )
    cap = base.mark_tick(color=_RED, thickness=2, width=30).encode(y="cap:Q")
    return _framed(bars + cap if days["cap"].is_not_null().any() else bars, title, height=220)


def coverage(providers: pl.DataFrame, fields: pl.DataFrame, title: str) -> Chart:
    """`providers`: provider, field, finds, credits; `fields`: field, outcome, people."""
    alt = _altair()
    have = (
        alt.Chart(fields)
        .mark_bar()
        .encode(
            y=alt.Y("field:N", title=None),
            x=alt.X("sum(people):Q", title="people", axis=alt.Axis(format=",d", tickMinStep=1)),
            color=alt.Color("outcome:N", title="outcome"),
            tooltip=["field:N", "outcome:N", "people:Q"],
        )
        .properties(width=560, title=title)
    )
    paid = (
        alt.Chart(providers)
        .mark_bar(color=_GREEN)
        .encode(
            y=alt.Y("provider:N", title=None, sort="-x"),
            x=alt.X("sum(credits):Q", title="credits", axis=alt.Axis(format=",d", tickMinStep=1)),
            tooltip=["provider:N", "field:N", "finds:Q", "credits:Q"],
        )
        .properties(width=560, title="Credits by provider")
    )
    return alt.vconcat(have, paid).resolve_scale(color="independent").properties(background="white")
