"""Commands that run, watch and set up the engine."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from outreach_sdk.cli.base import JSON, outreach, say
from outreach_sdk.errors import OutreachError


# -- the engine --------------------------------------------------------------------------------
@outreach.command()
@click.option("--workers", type=int, default=None, help="Workers that send (default 1).")
@click.option("--detach/--foreground", default=True, help="Go on after this command ends.")
@JSON
def up(workers: int | None, detach: bool, as_json: bool) -> None:
    """Start this home's engine: Redis if embedded, workers, clock, web."""
    from outreach_sdk.objects.engine import up as start

    started = start(workers=workers, detach=detach)
    running = "The engine is running. `outreach status` shows it, `outreach down` ends it."
    say(
        {"running": True, "problems": started.blocked},
        as_json,
        lambda _: "\n".join([running, *started.blocked]),
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
    say({"ended": ended}, as_json, lambda _: "Ended." if ended else "It wasn't running.")


@outreach.command()
@JSON
def status(as_json: bool) -> None:
    """Who is alive and what waits."""
    from outreach_sdk.objects.workspace import connect

    state = connect().status()

    def plain(_: Any) -> str:
        lines = [f"{role}: {n} alive" for role, n in sorted(state["alive"].items())] or ["no engine alive"]
        lines += [f"{n} journeys {s}" for s, n in sorted(state["journeys"].items())]
        told = [*([state["notice"]] if state["notice"] else []), *state["processes"], *state["webhooks"]]
        return "\n".join([*lines, f"{state['tasks']} tasks open", *told])

    say(state, as_json, plain)


@outreach.command()
@JSON
def doctor(as_json: bool) -> None:
    """Check database, Redis, engine, mailboxes and systems; each line says what to do."""
    from outreach_sdk.objects.engine import out_of_step
    from outreach_sdk.objects.mailbox import Mailbox
    from outreach_sdk.objects.session import current
    from outreach_sdk.objects.workspace import connect
    from outreach_sdk.webhooks import ready

    workspace = connect()
    state = workspace.status()
    checks: list[dict[str, Any]] = []
    answers = ready()
    apart = out_of_step(current())
    checks.append({"check": "database", "ok": apart is None, "say": apart or "The database answers."})
    told = (
        "Redis answers."
        if answers["redis"]
        else "REDIS_URL doesn't answer: start that server, or unset it for the embedded one."
        if current().settings.redis_url
        else "Redis doesn't answer: `outreach up` starts the embedded one."
    )
    if not current().walled:  # such a notebook knows no Redis, by design
        checks.append({"check": "redis", "ok": answers["redis"], "say": told})
    checks.append(
        {"check": "engine", "ok": state["notice"] is None, "say": state["notice"] or "The engine is alive."}
    )
    checks += [{"check": "engine", "ok": False, "say": s} for s in state["processes"]]
    for row in Mailbox.list().iter_rows(named=True):
        try:
            facts = Mailbox.get(row["id"]).check(again=False)
            wrong = " ".join(v for v in facts.values() if v != "ok")
            checks.append(
                {"check": f"mailbox {row['address']}", "ok": not wrong, "say": wrong or "It answers."}
            )
        except OutreachError as exc:
            checks.append({"check": f"mailbox {row['address']}", "ok": False, "say": str(exc)})
        checks.append({"check": f"calendar of {row['address']}", "ok": True, "say": f"{row['calendar']}."})
    checks += workspace.check_systems()
    say(
        checks,
        as_json,
        lambda cs: "\n".join(f"{'ok ' if c['ok'] else 'NO '} {c['check']}: {c['say']}" for c in cs),
    )
    if not all(c["ok"] for c in checks):
        sys.exit(1)


@outreach.command()
@click.argument("queue", type=click.Choice(["send", "read", "bulk", "requests"]))
@JSON
def worker(queue: str, as_json: bool) -> None:
    """Work on one queue until told to stop."""
    from redis import Redis

    from outreach_sdk import jobs
    from outreach_sdk.config import Settings
    from outreach_sdk.engine.queues import JOBS_MODULE
    from outreach_sdk.runtime.worker import make_worker

    jobs.check_tables(jobs.shared_engine())
    beating = jobs.Beating(jobs.shared_engine(), queue)
    redis = Redis.from_url(Settings.from_env().broker_url)
    allowed = dict(jobs.ALLOWED)
    if queue == "requests":
        from outreach_sdk.objects.carrying import AT_ONCE, carry_out

        settings = Settings.from_env()
        allowed[f"{JOBS_MODULE}.drain_requests"] = lambda *_: carry_out(
            jobs.shared_engine(), settings, threads=AT_ONCE, stop=jobs.stopping
        )
    make_worker(queue, redis, allowed, on_stop=jobs.stopping.set).work(logging_level="WARNING")
    beating.end()
    say({"ended": queue}, as_json, lambda d: f"Told to stop: no more work on {d['ended']}.")


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
        say(dispatch.tick(engine, wake), as_json, lambda d: ", ".join(f"{k} {v}" for k, v in d.items()))
        return
    jobs.check_tables(engine)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    ticks = jobs.Ticks()
    beating = jobs.Beating(engine, "clock", trouble=lambda: ticks.trouble() or wake.trouble())
    jobs.run_clock(engine, wake, stop, settings.tick_seconds, lambda text: click.echo(text, err=True), ticks)
    beating.end()


@outreach.command()
@click.option("--json", "as_json", is_flag=True, help="Log JSON (this command always does).")
def web(as_json: bool) -> None:
    """Serve the webhook service with gunicorn."""
    from outreach_sdk import jobs
    from outreach_sdk.config import Settings
    from outreach_sdk.errors import NotMigrated

    settings = Settings.from_env()
    with contextlib.suppress(NotMigrated):  # its tables may come
        jobs.check_tables(jobs.shared_engine())
    options = [
        "--worker-class",
        "webhook_service.worker.PatientWorker",  # gthread, with an end for the slow
        "--workers",
        "1",
        "--threads",
        "512",
        "--worker-connections",
        "2000",
        "--bind",
        f"{settings.web_host}:{settings.web_port}",
        "--no-control-socket",  # it would lie outside the home, one for all
    ]
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", *options, "webhook_service.wsgi:app"])  # noqa: S606


@outreach.command()
@JSON
def arm(as_json: bool) -> None:
    """Let this database send, after it was copied or restored and the other one is out of use."""
    from outreach_sdk.objects.workspace import connect

    connect().arm()
    say({"armed": True}, as_json, lambda _: "Armed.")


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
    say(made, as_json, lambda d: f"{d['name']}: OUTREACH_API_KEY={d['api_key']}")


@user.command("role")
@click.argument("name")
@click.option("--drop", is_flag=True, help="Take it away, and end its connections.")
@JSON
def user_role(name: str, drop: bool, as_json: bool) -> None:
    """Give a user a role of PostgreSQL's own, and print its DATABASE_URL, once."""
    from outreach_sdk.objects.workspace import connect

    made = connect().database_role(name, on=not drop)

    def plain(d: dict[str, str]) -> str:
        return f"{d['user']}: no role any more" if drop else f"{d['user']}: DATABASE_URL={d['database_url']}"

    say(made, as_json, plain)


@user.command("list")
@JSON
def user_list(as_json: bool) -> None:
    """Who there is."""
    from outreach_sdk.objects.workspace import users

    say(users(), as_json)


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
    say({"applied": done}, as_json, lambda _: "\n".join(f"applied {d}" for d in done) or "Nothing to do.")


@outreach.command()
@click.option("--home", default=".outreach-demo", show_default=True, help="Folder to run in; made anew.")
@click.option(
    "--json", "as_json", is_flag=True, help="Close with a line of JSON: whether the witness agrees."
)
def demo(home: str, as_json: bool) -> None:
    """A whole sequence on this machine, in a minute, with a kill -9 in the middle."""
    from outreach_sdk.demo import run

    status = run(Path(home))
    if as_json:
        say({"ok": status == 0, "home": home}, True)
    sys.exit(status)
