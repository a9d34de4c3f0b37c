"""Arguments and results of public methods as text and back, for calls that another process carries out.

Nothing is imported or run for what the text says: what isn't listed here can't be packed, nor unpacked.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from outreach_sdk import errors
from outreach_sdk.domain.sequence import Instant, Later, NextBusinessDay, SpecificTime
from outreach_sdk.domain.windows import SendingWindow
from outreach_sdk.engine.credits import Balance
from outreach_sdk.engine.people import framed
from outreach_sdk.engine.staging import plain
from outreach_sdk.errors import InvalidInput, OutreachError
from outreach_sdk.objects.cards import with_card

if TYPE_CHECKING:
    from outreach_sdk.objects.session import Session

__all__ = ["MOST", "pack", "pack_error", "things", "unpack", "unpack_error"]

MOST = 256 * 1024 * 1024
"""Bytes of a packed call at most."""

KIND = "$"
VALUES = {c.__name__: c for c in (Instant, SpecificTime, NextBusinessDay, Later, SendingWindow, Balance)}
_PLAIN_ERRORS = {e.__name__: e for e in (TypeError, ValueError, KeyError, LookupError, AttributeError)}


def pack(value: Any) -> str:
    """`value` as text. InvalidInput for what can't be."""
    text = json.dumps(_down(value), ensure_ascii=False, separators=(",", ":"))
    if len(text) > MOST:
        raise InvalidInput("call", f"{len(text):,} bytes", f"Give less than {MOST // 2**20} MiB at once.")
    return text


def unpack(text: str, session: Session, folder: Path | None = None) -> Any:
    """What was packed; things of the product act in `session`, files lie in `folder`."""
    return _up(json.loads(text), session, folder)


def _down(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (bool, str, float)) or type(value) is int:
        return value
    if type(value).__name__ in VALUES and type(value) is VALUES[type(value).__name__]:
        fields = {f.name: _down(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {KIND: "value", "of": type(value).__name__, "fields": fields}
    simple: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
        (dt.datetime, "datetime", lambda v: v.isoformat()),
        (dt.date, "date", lambda v: v.isoformat()),
        (dt.time, "time", lambda v: v.isoformat()),
        (dt.timedelta, "timedelta", lambda v: v / dt.timedelta(microseconds=1)),
        (bytes, "bytes", lambda v: base64.b64encode(v).decode()),
    )
    for kind, name, text in simple:
        if isinstance(value, kind):
            return {KIND: name, "text": text(value)}
    if isinstance(value, Path):
        return _file(value)
    if (thing := _thing(value)) is not None:
        return thing
    if isinstance(value, Mapping):
        return {KIND: "dict", "items": [[_down(k), _down(v)] for k, v in value.items()]}
    if (frame := _frame(value)) is not None:
        return frame
    if dataclasses.is_dataclass(value) and not isinstance(value, type):  # a result, shown by its fields
        return _down(dataclasses.asdict(value))
    if isinstance(value, (tuple, set, frozenset)):
        return {KIND: "tuple" if isinstance(value, tuple) else "set", "items": [_down(v) for v in value]}
    if isinstance(value, Iterable):
        return [_down(v) for v in value]
    raise InvalidInput(
        "argument", value, "A notebook behind the database's wall can't hand this to a worker."
    )


def _file(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST:
            raise InvalidInput("path", str(path), f"Give a file of at most {MOST // 2**20} MiB.")
        return {KIND: "file", "name": path.name, "text": base64.b64encode(path.read_bytes()).decode()}
    except OSError as exc:
        raise InvalidInput("path", str(path), f"It can't be read ({exc.strerror}).") from exc


def _frame(value: Any) -> dict[str, Any] | None:
    value = framed(value)
    if not hasattr(value, "columns") or not (hasattr(value, "iter_rows") or hasattr(value, "iloc")):
        return None
    import polars as pl

    columns = {} if isinstance(value, pl.DataFrame) else value.to_dict("list")
    cells = {str(name): [plain(v) for v in column] for name, column in columns.items()}
    table = value if isinstance(value, pl.DataFrame) else pl.DataFrame(cells, strict=False)
    out = io.BytesIO()
    pl.DataFrame(table).write_ipc(out, compression="zstd")
    card = (
        table._repr_html_() if type(table) is not pl.DataFrame and isinstance(value, pl.DataFrame) else None
    )
    return {KIND: "frame", "text": base64.b64encode(out.getvalue()).decode(), "card": card}


def _thing(value: Any) -> dict[str, Any] | None:
    """Objects of the product travel as their ids: whose they are is asked again where they arrive."""
    from outreach_sdk.objects.report import EnrollmentReport
    from outreach_sdk.objects.steps import Step
    from outreach_sdk.objects.task import Task
    from outreach_sdk.objects.workspace import Workspace

    if isinstance(value, Step):
        return {KIND: "Step", "number": int(value), "facts": [value.kind, value.when, value.subject]}
    if isinstance(value, EnrollmentReport):
        return {KIND: "EnrollmentReport", **{k: _down(v) for k, v in value._packed().items()}}
    if isinstance(value, Workspace):
        return {KIND: "Workspace"}
    if isinstance(value, Task):
        return {KIND: "Task", "id": value.id, "read": list(value._read())}
    name = type(value).__name__
    return {KIND: name, "id": cast("Any", value).id} if type(value) is things().get(name) else None


def things() -> dict[str, Any]:
    """The classes whose objects travel as their ids, by name."""
    from outreach_sdk.objects.candidate import Candidate
    from outreach_sdk.objects.enrichment import Enrichment
    from outreach_sdk.objects.journey import Journey
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.message import Message
    from outreach_sdk.objects.sequence import Sequence
    from outreach_sdk.objects.shortlist import Shortlist

    return {c.__name__: c for c in (Candidate, Enrichment, Journey, Mailbox, Message, Sequence, Shortlist)}


def _up(value: Any, session: Session, folder: Path | None) -> Any:
    if isinstance(value, list):
        return [_up(v, session, folder) for v in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    match kind:
        case "dict":
            return {_up(k, session, folder): _up(v, session, folder) for k, v in value["items"]}
        case "tuple" | "set":
            made = [_up(v, session, folder) for v in value["items"]]
            return tuple(made) if kind == "tuple" else set(made)
        case "datetime":
            return dt.datetime.fromisoformat(value["text"])
        case "date":
            return dt.date.fromisoformat(value["text"])
        case "time":
            return dt.time.fromisoformat(value["text"])
        case "timedelta":
            return dt.timedelta(microseconds=value["text"])
        case "bytes":
            return base64.b64decode(value["text"])
        case "frame":
            import polars as pl

            table = pl.read_ipc(io.BytesIO(base64.b64decode(value["text"])))
            return with_card(table, value["card"]) if value.get("card") else table
        case "file":
            if folder is None:
                raise InvalidInput("file", value["name"], "Nobody asked for one.")
            where = folder / (Path(str(value["name"])).name or "file")
            where.write_bytes(base64.b64decode(value["text"]))
            return where
        case "value":
            fields = {n: _up(v, session, folder) for n, v in value["fields"].items()}
            return VALUES[value["of"]](**fields)
        case _:
            return _thing_up(str(kind), value, session)


def _thing_up(kind: str, value: dict[str, Any], session: Session) -> Any:
    from outreach_sdk.objects.report import EnrollmentReport
    from outreach_sdk.objects.steps import Step
    from outreach_sdk.objects.task import Task
    from outreach_sdk.objects.workspace import Workspace

    if kind == "Workspace":
        return Workspace(session)
    if kind == "Step":
        return Step.told(int(value["number"]), *value["facts"])
    if kind == "EnrollmentReport":
        return EnrollmentReport._unpacked(
            session, {k: _up(v, session, None) for k, v in value.items() if k != KIND}
        )
    if kind == "Task":
        return Task._as_read(int(value["id"]), tuple(value["read"]))
    found = things().get(kind)
    if found is None:
        raise InvalidInput("argument", kind, "No such thing is handed to a worker.")
    if kind in ("Candidate", "Mailbox"):
        return found.get(int(value["id"]))
    return found(session, value["id"]) if kind == "Enrichment" else found(value["id"], session)


def pack_error(error: Exception) -> str:
    """An error as text: its type by name, its sentence, and what it carries beside it."""
    kept = {}
    for name, held in vars(error).items():
        try:
            kept[name] = _down(held)
        except (InvalidInput, TypeError, ValueError):  # shown, where it can't travel
            kept[name] = repr(held)[:200]
    known = isinstance(error, OutreachError) or type(error).__name__ in _PLAIN_ERRORS
    told = str(error) if known else f"The worker met a {type(error).__name__}."
    return json.dumps({"type": type(error).__name__, "told": told, "kept": kept if known else {}})


def unpack_error(text: str, session: Session) -> Exception:
    """The error that was packed, of the same type where this package or Python has it."""
    given = json.loads(text)
    kind = getattr(errors, given["type"], None) or _PLAIN_ERRORS.get(given["type"], OutreachError)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = OutreachError
    made: Exception = kind.__new__(kind)
    Exception.__init__(made, given["told"])
    for name, value in given["kept"].items():
        setattr(made, name, _up(value, session, None))
    return made
