"""Widgets by ipywidgets (the extra `notebook`). Each is given functions that read and act, and shows what they say;
whatever they raise is a sentence beneath the buttons."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from outreach_sdk.errors import ConfigError, OutreachError
from outreach_sdk.notebook import html
from outreach_sdk.notebook.card import Banner, Bullets, Card, Note

__all__ = [
    "Columns",
    "Editor",
    "Live",
    "Panel",
    "Queue",
    "State",
    "Switch",
    "Waiting",
    "state_card",
    "time_left",
]


def ipywidgets() -> ModuleType:
    """The library, or a sentence on how to get it."""
    try:
        import ipywidgets as found
    except ImportError:
        raise ConfigError("Widgets need ipywidgets: pip install 'outreach-sdk[notebook]'.") from None
    return found  # type: ignore[no-any-return]


class Panel:
    """What all widgets are: a box, a line that says what happened, and the way to show them."""

    def __init__(self) -> None:
        self.w = ipywidgets()
        self.told = self.w.HTML()
        self.box = self.w.VBox()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)

    def wide(self, height: str | None = None) -> Any:
        """A layout over the whole width; each widget's own, since hiding one hides all that share it."""
        return self.w.Layout(width="98%", height=height)

    def say(self, text: str, *, wrong: bool = False) -> None:
        """A sentence beneath the buttons."""
        self.told.value = html.STYLE + (html.banner(text) if wrong else html.note(text))

    def trying(self, act: Callable[[], str | None]) -> bool:
        """Do it, and say what came of it; whether it went well."""
        try:
            said = act()
        except OutreachError as exc:
            self.say(str(exc), wrong=True)
            return False
        except Exception as exc:  # a button's handler has nobody to raise to
            self.say(f"That didn't work ({type(exc).__name__}).", wrong=True)
            return False
        self.say(said or "")
        return True

    def button(
        self, text: str, act: Callable[[], object], *, style: str = "", icon: str = "", tip: str = ""
    ) -> Any:
        """A button that acts."""
        made = self.w.Button(description=text, button_style=style, icon=icon, tooltip=tip or text)
        made.on_click(lambda _: act())
        return made


@dataclass(frozen=True, slots=True)
class State:
    """What the switch shows: whether it is on, why it can't be, what holds it, and how far everybody is."""

    name: str
    active: bool
    problems: Seq[str]
    notice: str | None
    card: str


class Switch(Panel):
    """On and off; greyed out, with the reasons, while the sequence is incomplete."""

    def __init__(self, read: Callable[[], State], turn: Callable[[bool], str]) -> None:
        super().__init__()
        self._read, self._turn, self._showing = read, turn, False
        self.toggle = self.w.ToggleButton(description="Active", icon="power-off")
        self.toggle.observe(self._turned, names="value")
        self.why = self.w.HTML()
        self.again = self.button("Refresh", self.refresh, icon="refresh")
        self.box.children = (self.w.HBox((self.toggle, self.again)), self.told, self.why)
        self.refresh()

    def refresh(self) -> None:
        """Look again."""
        try:
            state = self._read()
        except Exception as exc:
            self.say(str(exc) if isinstance(exc, OutreachError) else type(exc).__name__, wrong=True)
            return
        self._showing = True
        try:
            stuck = bool(state.problems) and not state.active
            self.toggle.value = state.active
            self.toggle.disabled = stuck
            self.toggle.button_style = "success" if state.active else ""
            self.toggle.description = "Active" if state.active else "Inactive"
            self.toggle.tooltip = "Incomplete: see below" if stuck else "Activate or deactivate"
            self.why.value = state.card
        finally:
            self._showing = False

    def _turned(self, change: Mapping[str, Any]) -> None:
        if not self._showing:
            self.trying(lambda: self._turn(bool(change["new"])))
            self.refresh()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task as the queue shows it."""

    id: int
    label: str
    kind: str
    to: str
    subject: str
    body: str
    problem: str | None
    skip_at: dt.datetime | None
    can_change_subject: bool


def time_left(until: dt.datetime | None, now: dt.datetime) -> str:
    """How long until a task skips itself."""
    if until is None:
        return "It waits for as long as it takes."
    left = until - now
    if left <= dt.timedelta(0):
        return "It is about to skip itself."
    minutes = int(left.total_seconds() // 60)
    days, hours, minutes = minutes // 1440, minutes // 60 % 24, minutes % 60
    parts = [f"{n} {unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if n][:2]
    return f"It skips itself in {' '.join(parts) or 'under a minute'} ({until:%d %b, %H:%M} UTC)."


class Queue(Panel):
    """What waits for a person: read it, change it, send it, mark it done, skip it. `fetch` gives (id, label) of each,
    `read` one of them."""

    def __init__(
        self,
        fetch: Callable[[], Seq[tuple[int, str]]],
        read: Callable[[int], Waiting],
        acts: Mapping[str, Callable[[int, str, str], str]],
        now: Callable[[], dt.datetime],
    ) -> None:
        super().__init__()
        self._fetch, self._read, self._acts, self._now = fetch, read, acts, now
        self._current: Waiting | None = None
        self._filling = False
        self.choice = self.w.Select(options=(), rows=6, layout=self.wide())
        self.choice.observe(lambda _: self._show(), names="value")
        self.head, self.left, self.empty = self.w.HTML(), self.w.HTML(), self.w.HTML()
        self.subject = self.w.Text(description="Subject", layout=self.wide())
        self.body = self.w.Textarea(description="Text", layout=self.wide("180px"))
        self.note = self.w.Text(description="Note", placeholder="what came of it", layout=self.wide())
        self.send = self.button("Send now", lambda: self._act("send"), style="primary", icon="paper-plane")
        self.done = self.button("Mark done", lambda: self._act("done"), style="primary", icon="check")
        self.save = self.button("Save", lambda: self._act("save"), icon="floppy-o")
        self.skip = self.button("Skip", lambda: self._act("skip"), icon="step-forward")
        self.again = self.button("Refresh", self.refresh, icon="refresh")
        buttons = self.w.HBox((self.send, self.done, self.save, self.skip, self.again))
        self.editor = self.w.VBox((self.head, self.subject, self.body, self.note, self.left))
        self.box.children = (self.choice, self.empty, self.editor, buttons, self.told)
        self.refresh()

    def refresh(self) -> None:
        """Look again at what waits; the one being read stays chosen while it waits."""
        chosen = self.choice.value
        try:
            found = [(html.said(label), number) for number, label in self._fetch()]
        except Exception as exc:
            self.say(str(exc) if isinstance(exc, OutreachError) else type(exc).__name__, wrong=True)
            return
        numbers = [number for _, number in found]
        self._filling = True  # setting the options moves the choice: that is nobody's choosing
        try:
            self.choice.options = found
            self.choice.value = chosen if chosen in numbers else (numbers[0] if numbers else None)
        finally:
            self._filling = False
        self._show()

    def _show(self) -> None:
        if self._filling:
            return
        before, self._current = self._current, None
        if self.choice.value is not None:
            with contextlib.suppress(OutreachError):
                self._current = self._read(self.choice.value)
        task = self._current
        mail = task is not None and task.kind == "email"
        for widget, on in (
            (self.choice, task is not None), (self.editor, task is not None), (self.subject, mail),
            (self.note, task is not None and not mail),
            (self.send, mail), (self.done, task is not None and not mail), (self.save, task is not None),
            (self.skip, task is not None),
        ):  # fmt: skip
            widget.layout.display = None if on else "none"
        if task is None:
            self.left.value = ""
            self.empty.value = html.STYLE + html.note("Nothing waits for you.")
            return
        self.empty.value = ""
        self.head.value = html.STYLE + html.note(f"{task.label} → {task.to or 'no address'}")
        self.head.value += html.banner(task.problem)
        # What a person has typed and not saved stays, whatever made the queue look again.
        typing = before is not None and before.id == task.id
        if not (typing and before and self.subject.value != before.subject):
            self.subject.value = task.subject
        if not (typing and before and self.body.value != before.body):
            self.body.value = task.body
        if not typing:
            self.note.value = ""
        self.subject.disabled = not task.can_change_subject
        self.left.value = html.STYLE + html.note(time_left(task.skip_at, self._now()))

    def _act(self, what: str) -> None:
        task = self._current
        if task is None:
            return
        act, subject = self._acts[what], self.subject.value
        self.trying(lambda: act(task.id, subject, self.note.value if what == "done" else self.body.value))
        self.refresh()


class Editor(Panel):
    """A step's texts, or a variant's, beside what they come to for a real person, as one types."""

    def __init__(
        self,
        steps: Seq[tuple[Any, str]],
        people: Seq[tuple[str, Any]],
        read: Callable[[Any], tuple[str, str]],
        preview: Callable[[Any, Any, str, str], str],
        save: Callable[[Any, str, str], str],
    ) -> None:
        super().__init__()
        self._read, self._preview, self._save = read, preview, save
        self.step = self.w.Dropdown(description="Step", options=[(html.said(t), n) for n, t in steps])
        self.person = self.w.Dropdown(description="For", options=[(html.said(t), k) for t, k in people])
        self.subject = self.w.Text(description="Subject", layout=self.wide())
        self.body = self.w.Textarea(description="Text", layout=self.wide("220px"))
        self.seen = self.w.HTML()
        self.keep = self.button("Save", self._saved, style="primary", icon="floppy-o")
        self._loading = False
        self.step.observe(lambda _: self.load(), names="value")
        for widget in (self.person, self.subject, self.body):
            widget.observe(lambda _: self.show(), names="value")
        texts = self.w.VBox((self.subject, self.body, self.keep), layout=self.w.Layout(width="50%"))
        side = self.w.VBox((self.seen,), layout=self.w.Layout(width="50%"))
        self.box.children = (self.w.HBox((self.step, self.person)), self.w.HBox((texts, side)), self.told)
        self.load()

    def load(self) -> None:
        """The chosen step's texts as they are kept."""
        if self.step.value is None:
            self.say("The sequence has no steps yet: add one first.")
            return
        self._loading = True
        try:
            self.subject.value, self.body.value = self._read(self.step.value)
        finally:
            self._loading = False
        self.show()

    def show(self) -> None:
        """What it comes to."""
        if self._loading or self.step.value is None:
            return
        try:
            self.seen.value = self._preview(
                self.step.value, self.person.value, self.subject.value, self.body.value
            )
        except OutreachError as exc:
            self.seen.value = Card("Preview", None, [Banner(str(exc))]).html()

    def _saved(self) -> None:
        if self.step.value is not None:
            self.trying(lambda: self._save(self.step.value, self.subject.value, self.body.value))


class Columns(Panel):
    """Which column feeds which field: corrected, tried, then enrolled. `look` gives (a card, whether it can be read)."""

    def __init__(
        self,
        headers: Seq[str],
        mapping: Mapping[str, str | None],
        sequences: Seq[tuple[str, int]],
        look: Callable[[dict[str, str | None]], tuple[str, bool]],
        enroll: Callable[[int, dict[str, str | None]], str],
    ) -> None:
        super().__init__()
        self._look, self._enroll = look, enroll
        options = [("–", None), *[(html.said(h) or f"column {n}", h) for n, h in enumerate(headers, 1)]]
        self.fields = {
            field: self.w.Dropdown(
                description=field.replace("_", " "),
                options=options,
                value=column if column in headers else None,
                style={"description_width": "110px"},
            )
            for field, column in mapping.items()
        }
        for widget in self.fields.values():
            widget.observe(lambda _: self.show(), names="value")
        self.sequence = self.w.Dropdown(
            description="Enrol into",
            options=[(html.said(t), n) for t, n in sequences],
            style={"description_width": "110px"},
        )
        self.seen = self.w.HTML()
        self.enroll = self.button("Enrol", self._go, style="primary", icon="user-plus")
        left = self.w.VBox((*self.fields.values(), self.sequence, self.enroll))
        self.box.children = (self.w.HBox((left, self.seen)), self.told)
        self.show()

    @property
    def mapping(self) -> dict[str, str | None]:
        """The mapping as it stands: give it to `seq.enroll(path, mapping=…)`."""
        return {field: widget.value for field, widget in self.fields.items()}

    def show(self) -> None:
        """The first rows as they would be understood."""
        try:
            self.seen.value, good = self._look(self.mapping)
        except OutreachError as exc:
            self.seen.value, good = Card("The file", None, [Banner(str(exc))]).html(), False
        self.enroll.disabled = not good or self.sequence.value is None

    def _go(self) -> None:
        self.enroll.disabled = True
        self.trying(lambda: self._enroll(self.sequence.value, self.mapping))
        self.enroll.disabled = False


class Live(Panel):
    """A running sequence, looked at every few seconds until everybody's journey has ended or `stop` is pressed. `read`
    gives (done, of how many, a card, whether it goes on)."""

    def __init__(
        self, read: Callable[[], tuple[int, int, str, bool]], every: float, idle: Callable[[], None]
    ) -> None:
        super().__init__()
        self._read, self._every, self._idle = read, every, idle
        self.bar = self.w.IntProgress(description="Journeys", min=0, max=1)
        self.count = self.w.Label()
        self.seen = self.w.HTML()
        self.stop = self.button("Stop looking", self.end, icon="stop")
        self.box.children = (self.w.HBox((self.bar, self.count, self.stop)), self.seen, self.told)
        self._stopped = threading.Event()
        if self.refresh():
            self._thread = threading.Thread(target=self._run, name="live", daemon=True)
            self._thread.start()

    def refresh(self) -> bool:
        """Look once; whether there is anything left to wait for."""
        try:
            done, total, card, going = self._read()
        except OutreachError as exc:
            self.say(str(exc), wrong=True)
            return not self._stopped.is_set()  # a lost database may come back
        self.told.value = ""
        self.bar.max, self.bar.value = max(total, 1), done
        self.count.value = f"{done:,} of {total:,} have ended"
        self.seen.value = card
        return going

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._every) and self.refresh():
                self._idle()
        finally:
            self._idle()
            self.end()

    def end(self) -> None:
        """Look no more."""
        self._stopped.set()
        self.stop.disabled = True


def state_card(
    name: str, active: bool, problems: Seq[str], notice: str | None, counts: Mapping[str, int]
) -> str:
    """What stands beneath the switch."""
    told = ", ".join(f"{n:,} {what.replace('_', ' ')}" for what, n in counts.items()) or "nobody enrolled"
    pill = "active" if active else "incomplete" if problems else "inactive"
    return Card(name or "Untitled sequence", pill, [Bullets(problems), Banner(notice), Note(told)]).html()
