"""`outreach …`, thin over the objects. Exit status: 0, 1 (it failed, said on stderr in one sentence),
2 (wrong usage)."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from outreach_sdk.errors import InvalidInput, OutreachError

__all__ = ["main"]

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def _say(value: Any, as_json: bool, plain: Callable[[Any], str] = str) -> None:
    if as_json:
        if hasattr(value, "iter_rows"):
            for row in value.iter_rows(named=True):
                click.echo(json.dumps(row, default=str, ensure_ascii=False))
            return
        click.echo(json.dumps(value, default=str, ensure_ascii=False))
        return
    if hasattr(value, "iter_rows"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*value.columns)
        for row in value.iter_rows():
            table.add_row(*[Text("" if v is None else str(v)) for v in row])
        Console().print(table)
        return
    click.echo(plain(value))


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="outreach-sdk")
def outreach() -> None:
    """Outreach Sequences from the command line."""


# -- the engine --------------------------------------------------------------------------------
@outreach.command()
@click.option("--workers", type=int, default=None, help="Workers that send (default 1).")
@click.option("--detach/--foreground", default=True, help="Go on after this command ends.")
@JSON
def up(workers: int | None, detach: bool, as_json: bool) -> None:
    """Start this home's engine: Redis if embedded, workers, clock, web."""
    from outreach_sdk.objects.engine import up as start

    start(workers=workers, detach=detach)
    _say(
        {"running": True},
        as_json,
        lambda _: "The engine is running. `outreach status` shows it, `outreach down` ends it.",
    )
    if not detach:
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


@outreach.command()
@JSON
def down(as_json: bool) -> None:
    """End this home's engine."""
    from outreach_sdk import runtime
    from outreach_sdk.config import Settings

    ended = runtime.down(Settings.from_env())
    _say({"ended": ended}, as_json, lambda _: "Ended." if ended else "It wasn't running.")


@outreach.command()
@JSON
def status(as_json: bool) -> None:
    """Who is alive and what waits."""
    from outreach_sdk.objects.workspace import connect

    state = connect().status()

    def plain(_: Any) -> str:
        lines = [f"{role}: {n} alive" for role, n in sorted(state["alive"].items())] or ["no engine alive"]
        lines += [f"{n} journeys {s}" for s, n in sorted(state["journeys"].items())]
        return "\n".join(
            [*lines, f"{state['tasks']} tasks open", *([state["notice"]] if state["notice"] else [])]
        )

    _say(state, as_json, plain)


@outreach.command()
@JSON
def doctor(as_json: bool) -> None:
    """Check database, Redis, engine and mailboxes; each line says what to do."""
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.workspace import connect
    from outreach_sdk.webhooks import ready

    state = connect().status()
    checks: list[dict[str, Any]] = []
    answers = ready()
    checks.append({"check": "database", "ok": answers["database"], "say": "The database answers."})
    told = (
        "Redis answers."
        if answers["redis"]
        else "Redis doesn't answer: `outreach up` starts the embedded one."
    )
    checks.append({"check": "redis", "ok": answers["redis"], "say": told})
    checks.append(
        {"check": "engine", "ok": state["notice"] is None, "say": state["notice"] or "The engine is alive."}
    )
    for row in Mailbox.list().iter_rows(named=True):
        try:
            address = Mailbox.get(row["id"]).check()
            checks.append(
                {"check": f"mailbox {row['address']}", "ok": True, "say": f"It answers as {address}."}
            )
        except OutreachError as exc:
            checks.append({"check": f"mailbox {row['address']}", "ok": False, "say": str(exc)})
    _say(
        checks,
        as_json,
        lambda cs: "\n".join(f"{'ok ' if c['ok'] else 'NO '} {c['check']}: {c['say']}" for c in cs),
    )
    if not all(c["ok"] for c in checks):
        sys.exit(1)


@outreach.command()
@click.argument("queue", type=click.Choice(["send", "read", "bulk"]))
def worker(queue: str) -> None:
    """Work on one queue until told to stop."""
    from redis import Redis

    from outreach_sdk import jobs
    from outreach_sdk.config import Settings
    from outreach_sdk.runtime.worker import make_worker

    stop = jobs.start_beating(jobs.shared_engine(), queue)
    redis = Redis.from_url(Settings.from_env().broker_url)
    make_worker(queue, redis, jobs.ALLOWED, on_stop=jobs.stopping.set).work(logging_level="WARNING")
    stop.set()


@outreach.command()
@click.option("--once", is_flag=True, help="One dispatch pass, then exit.")
@JSON
def clock(once: bool, as_json: bool) -> None:
    """Choose what is due and wake the workers for it."""
    from outreach_sdk import jobs
    from outreach_sdk.config import Settings
    from outreach_sdk.engine import dispatch
    from outreach_sdk.engine.queues import Queues

    settings = Settings.from_env()
    engine, wake = jobs.shared_engine(), Queues(settings.broker_url)
    if once:
        _say(dispatch.tick(engine, wake), as_json, lambda d: ", ".join(f"{k} {v}" for k, v in d.items()))
        return
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    beating = jobs.start_beating(engine, "clock")
    jobs.run_clock(engine, wake, stop, settings.tick_seconds, lambda text: click.echo(text, err=True))
    beating.set()


@outreach.command()
def web() -> None:
    """Serve the webhook service with gunicorn."""
    from outreach_sdk.config import Settings

    settings = Settings.from_env()
    options = [
        "--worker-class",
        "gthread",
        "--workers",
        "1",
        "--threads",
        "8",
        "--bind",
        f"127.0.0.1:{settings.web_port}",
    ]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *options, "webhook_service.wsgi:app"])  # noqa: S606


@outreach.command()
def arm() -> None:
    """Let this database send, after it was copied or restored and the other one is out of use."""
    from outreach_sdk.objects.workspace import connect

    connect().arm()
    click.echo("Armed.")


@outreach.group()
def user() -> None:
    """Users of the workspace: add, list."""


@user.command("add")
@click.argument("name")
@click.option("--email", default=None, help="Where notices go.")
@click.option("--admin", is_flag=True, help="May see everybody's.")
@JSON
def user_add(name: str, email: str | None, admin: bool, as_json: bool) -> None:
    """Add a user and print their API key, once. The first makes the workspace."""
    from outreach_sdk.objects.session import add_user

    made = add_user(name, email=email, admin=admin)
    _say(made, as_json, lambda d: f"{d['name']}: OUTREACH_API_KEY={d['api_key']}")


@user.command("list")
@JSON
def user_list(as_json: bool) -> None:
    """Who there is."""
    from outreach_sdk.objects.workspace import users

    _say(users(), as_json)


@outreach.command()
@JSON
def migrate(as_json: bool) -> None:
    """Bring the database's schema up to date."""
    import datetime as dt

    from outreach_sdk.config import Settings
    from outreach_sdk.storage.migrations import migrate as run
    from outreach_sdk.storage.store import open_store

    settings = Settings.from_env()
    if settings.database_url.startswith("sqlite"):
        settings.ensure_home()
    done = run(open_store(settings.database_url), dt.datetime.now(dt.UTC))
    _say({"applied": done}, as_json, lambda _: "\n".join(f"applied {d}" for d in done) or "Nothing to do.")


# -- sequences and people ----------------------------------------------------------------------
@outreach.group()
def sequence() -> None:
    """Sequences: list, show, activate, deactivate, preview, export."""


def _sequence(name: str) -> Any:
    from outreach_sdk.objects.sequence import Sequence

    return Sequence.get(int(name) if name.isdigit() else name)


@sequence.command("list")
@JSON
def sequence_list(as_json: bool) -> None:
    """One's sequences."""
    from outreach_sdk.objects.sequence import Sequence

    _say(Sequence.list(), as_json)


@sequence.command("show")
@click.argument("name")
@JSON
def sequence_show(name: str, as_json: bool) -> None:
    """Its state and its candidates."""
    seq = _sequence(name)
    if as_json:
        _say(
            {
                "id": seq.id,
                "name": seq.name,
                "status": seq.status,
                "problems": seq.problems,
                "notice": seq.notice,
            },
            True,
        )
        return
    click.echo(repr(seq))
    _say(seq.candidates(), False)


@sequence.command("activate")
@click.argument("name")
@JSON
def sequence_activate(name: str, as_json: bool) -> None:
    """Set it going."""
    _say({"journeys": _sequence(name).activate()}, as_json, lambda d: f"Active: {d['journeys']} journeys go.")


@sequence.command("deactivate")
@click.argument("name")
@JSON
def sequence_deactivate(name: str, as_json: bool) -> None:
    """Hold it where it is."""
    _say(
        {"journeys": _sequence(name).deactivate()},
        as_json,
        lambda d: f"Inactive: {d['journeys']} journeys paused.",
    )


@sequence.command("preview")
@click.argument("name")
@click.option("--candidate", default=None, help="An enrolled e-mail address.")
@JSON
def sequence_preview(name: str, candidate: str | None, as_json: bool) -> None:
    """Every message as it would leave, and when; sends nothing."""
    _say(_sequence(name).preview(candidate), as_json)


@sequence.command("export")
@click.argument("name")
@click.argument("path", type=click.Path(dir_okay=False))
@JSON
def sequence_export(name: str, path: str, as_json: bool) -> None:
    """Write its candidates to .csv, .parquet, .xlsx or .jsonl."""
    _say({"path": str(_sequence(name).export(path))}, as_json, lambda d: f"Written: {d['path']}")


@outreach.command()
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--paused", is_flag=True, help="Enrol without starting.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@JSON
def enroll(name: str, file: str, paused: bool, dry_run: bool, as_json: bool) -> None:
    """Enrol the people of FILE into the sequence NAME."""
    report = _sequence(name).enroll(Path(file), paused=paused, dry_run=dry_run)
    _say({**report.counts(), "notice": report.notice}, as_json, lambda _: repr(report))


@outreach.command("import")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--show-mapping", is_flag=True, help="Say which column feeds which field; write nothing.")
@click.option("--no-ai", is_flag=True, help="Only the offline rules.")
@click.option("--sequence", "name", default=None, help="Enrol into this sequence.")
@JSON
def import_file(file: str, show_mapping: bool, no_ai: bool, name: str | None, as_json: bool) -> None:
    """Read FILE as people: show how it is understood, or enrol it."""
    from outreach_sdk.engine import people

    if show_mapping:
        table = people.open_table(Path(file))
        shown = {
            "encoding": table.encoding,
            "delimiter": table.delimiter,
            "skipped_lines": table.skipped_lines,
            "mapping": table.mapping,
            "extra": table.extra,
        }
        _say(shown, as_json, lambda d: "\n".join(f"{k}: {v}" for k, v in d.items()))
        return
    if name is None:
        raise click.UsageError("Say --sequence NAME, or --show-mapping.")
    report = _sequence(name).import_csv(file)
    _say({**report.counts(), "notice": report.notice}, as_json, lambda _: repr(report))


@outreach.group()
def task() -> None:
    """Steps that wait for you."""


@task.command("list")
@JSON
def task_list(as_json: bool) -> None:
    """Open tasks."""
    from outreach_sdk.objects.journey import Task

    rows = [
        {"n": n, "kind": t.kind, "candidate": t.candidate, "skip_at": t.skip_at}
        for n, t in enumerate(Task.list(), 1)
    ]
    _say(
        rows,
        as_json,
        lambda rs: "\n".join(f"{r['n']}. {r['kind']} for {r['candidate']}" for r in rs) or "No tasks.",
    )


@task.command("act")
@click.argument("number", type=int)
@click.argument("action", type=click.Choice(["send", "done", "skip"]))
def task_act(number: int, action: str) -> None:
    """Act on task NUMBER of `task list`."""
    from outreach_sdk.objects.journey import Task

    listed = Task.list()
    if not 1 <= number <= len(listed):
        raise InvalidInput("number", number, f"There are {len(listed)} open tasks.")
    chosen = listed[number - 1]
    {"send": chosen.send_now, "done": chosen.done, "skip": chosen.skip}[action]()
    click.echo("Done.")


@outreach.group()
def mailbox() -> None:
    """Mailboxes: list, local, disconnect."""


@mailbox.command("list")
@JSON
def mailbox_list(as_json: bool) -> None:
    """One's mailboxes."""
    from outreach_sdk.objects.mailbox import Mailbox

    _say(Mailbox.list(), as_json)


@mailbox.command("local")
@click.argument("address")
@JSON
def mailbox_local(address: str, as_json: bool) -> None:
    """Connect a Maildir on this machine, to try everything without an account."""
    from outreach_sdk.objects.mailbox import Mailbox

    box = Mailbox.connect_local(address)
    _say({"id": box.id, "address": box.address}, as_json, lambda d: f"Connected {d['address']}.")


@mailbox.command("disconnect")
@click.argument("address")
def mailbox_disconnect(address: str) -> None:
    """Forget its tokens; journeys that need it pause."""
    from outreach_sdk.objects.mailbox import Mailbox

    Mailbox.get(address).disconnect()
    click.echo("Disconnected.")


@outreach.command()
@click.option("--mailbox", "address", default=None, help="Only this one.")
@JSON
def sync(address: str | None, as_json: bool) -> None:
    """One reply and bounce check, now."""
    from outreach_sdk.engine import sync as reading
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.session import current

    ids = [Mailbox.get(address).id] if address else Mailbox.list()["id"].to_list()
    found = sum(reading.poll_mailbox(current().engine, i) for i in ids)
    _say({"mailboxes": len(ids), "messages": found}, as_json, lambda d: f"{d['messages']} new messages.")


@outreach.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON (this command always does).")
def classify(files: tuple[str, ...], as_json: bool) -> None:
    """Say of each .eml file what it is: one JSON object a line."""
    import datetime as dt

    from outreach_sdk.domain.classify import classify as judge
    from outreach_sdk.domain.classify import visible_text
    from outreach_sdk.domain.message import parse_incoming

    now = dt.datetime.now(dt.UTC)
    for name in files:
        message = parse_incoming(
            Path(name).read_bytes(), provider_message_id=name, provider_thread_id=None, received_at=now
        )
        verdict = judge(message, now=(message.date or now).date())
        told = {
            "path": name,
            "kind": verdict.kind,
            "hard": verdict.hard,
            "recipients": list(verdict.recipients),
            "status": verdict.status,
            "return_date": verdict.return_date.isoformat() if verdict.return_date else None,
            "left_company": verdict.left_company,
            "opt_out": verdict.opt_out,
            "visible_text": visible_text(message.text),
        }
        click.echo(json.dumps(told, ensure_ascii=False))


@outreach.command()
@click.option("--home", default=".outreach-demo", show_default=True, help="Folder to run in; made anew.")
def demo(home: str) -> None:
    """A whole sequence on this machine, in a minute, with a kill -9 in the middle."""
    from outreach_sdk.demo import run

    sys.exit(run(Path(home)))


def main() -> None:
    """The entry point: every OutreachError becomes one sentence on stderr and exit status 1."""
    try:
        outreach(standalone_mode=False)
    except click.exceptions.Exit as exc:
        sys.exit(exc.exit_code)
    except click.Abort:
        sys.exit(1)
    except click.ClickException as exc:
        exc.show()
        sys.exit(2)
    except OutreachError as exc:
        click.echo(str(exc), err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
