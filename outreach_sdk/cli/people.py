"""Commands about sequences, people, tasks and mailboxes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from outreach_sdk.cli.base import JSON, is_number, outreach, say
from outreach_sdk.errors import InvalidInput, NotFound


# -- sequences and people ----------------------------------------------------------------------
@outreach.group()
def sequence() -> None:
    """Sequences: list, show, activate, deactivate, preview, drafts, approve, export."""


def _sequence(name: str) -> Any:
    """By its name, else by its id: a number may be either."""
    from outreach_sdk.objects.sequence import Sequence

    try:
        return Sequence.get(name)
    except NotFound:
        if not is_number(name):
            raise
    return Sequence.get(int(name))


@sequence.command("list")
@JSON
def sequence_list(as_json: bool) -> None:
    """One's sequences."""
    from outreach_sdk.objects.sequence import Sequence

    say(Sequence.list(), as_json)


@sequence.command("show")
@click.argument("name")
@JSON
def sequence_show(name: str, as_json: bool) -> None:
    """Its state and its candidates."""
    seq = _sequence(name)
    if as_json:
        say(
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
    say(seq.candidates(), False)


@sequence.command("activate")
@click.argument("name")
@JSON
def sequence_activate(name: str, as_json: bool) -> None:
    """Set it going."""
    say({"journeys": _sequence(name).activate()}, as_json, lambda d: f"Active: {d['journeys']} journeys go.")


@sequence.command("deactivate")
@click.argument("name")
@JSON
def sequence_deactivate(name: str, as_json: bool) -> None:
    """Hold it where it is."""
    say(
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
    say(_sequence(name).preview(candidate), as_json)


@sequence.command("drafts")
@click.argument("name")
@click.option("--out", type=click.Path(dir_okay=False), help="Write .csv, .parquet, .xlsx or .jsonl instead.")
@JSON
def sequence_drafts(name: str, out: str | None, as_json: bool) -> None:
    """Every e-mail that hasn't left, as it would leave now: to read, edit, and give to `approve`."""
    from outreach_sdk.objects.frames import written

    found = _sequence(name).drafts()
    if out is None:
        say(found, as_json)
        return
    told = {"path": str(written(found, Path(out))), "drafts": found.height}
    say(told, as_json, lambda d: f"Written: {d['drafts']} drafts to {d['path']}")


@sequence.command("approve")
@click.argument("name")
@click.argument("file", required=False, type=click.Path(dir_okay=False))
@click.option("--all", "everything", is_flag=True, help="All drafts as they are now, instead of a FILE.")
@JSON
def sequence_approve(name: str, file: str | None, everything: bool, as_json: bool) -> None:
    """Approve the rows of FILE (.csv, .parquet, .xlsx or .jsonl, as `drafts --out` writes them), edits of subject and
    body included. Status 1 if any of them wasn't approved; the others are."""
    if (file is None) != everything:
        raise click.UsageError("Give a FILE, or --all.")
    from outreach_sdk.objects.frames import read_back

    seq = _sequence(name)
    told = seq.approve(seq.drafts() if file is None else read_back(Path(file)))
    say(told, as_json)
    left = told.filter(~told["outcome"].is_in(["approved", "edited", "unchanged"])).height
    if left:
        raise InvalidInput("drafts", name, f"{left} of {told.height} weren't approved: each row says why.")


WHAT = click.option(
    "--what",
    type=click.Choice(["candidates", "journeys", "messages", "events"]),
    default="candidates",
    show_default=True,
)


@sequence.command("export")
@click.argument("name")
@click.argument("path", type=click.Path(dir_okay=False))
@WHAT
@JSON
def sequence_export(name: str, path: str, what: str, as_json: bool) -> None:
    """Write it to .csv, .parquet, .xlsx or .jsonl."""
    say({"path": str(_sequence(name).export(path, what))}, as_json, lambda d: f"Written: {d['path']}")


outreach.add_command(sequence_export, "export")


SHOWN = 20


def _say_report(report: Any, as_json: bool) -> None:
    """The counts, and under "rejected" each row that wasn't enrolled, with its outcome and reason."""
    left = [r for r in report.rows.iter_rows(named=True) if r["outcome"] in ("rejected", "held_back")]

    def who(row: dict[str, Any]) -> str:
        return f"{row['email']} " if row["email"] else ""

    def plain(_: Any) -> str:
        lines = [
            f"  row {r['row']}: {who(r)}{r['outcome'].replace('_', ' ')}, {r['reason']}" for r in left[:SHOWN]
        ]
        more = [f"  and {len(left) - SHOWN:,} more: --json names them all"] if len(left) > SHOWN else []
        return "\n".join([repr(report), *lines, *more])

    say({**report.counts(), "notice": report.notice, "rejected": left}, as_json, plain)


@outreach.command()
@click.argument("name")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--paused", is_flag=True, help="Enrol without starting.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; write nothing.")
@JSON
def enroll(name: str, file: str, paused: bool, dry_run: bool, as_json: bool) -> None:
    """Enrol the people of FILE into the sequence NAME."""
    report = _sequence(name).enroll(Path(file), paused=paused, dry_run=dry_run)
    _say_report(report, as_json)


def _model_mapper() -> Any:
    """Asks the model, where there is one, without a database: what that costs isn't counted."""
    import functools

    from outreach_sdk.config import Settings
    from outreach_sdk.engine.headers import by_model
    from outreach_sdk.wiring import header_reader

    model = header_reader(Settings.from_env())
    return None if model is None else functools.partial(by_model, model)


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
        table = people.open_table(Path(file), mapper=None if no_ai else _model_mapper(), anybody=False)
        shown = {
            "encoding": table.encoding,
            "delimiter": table.delimiter,
            "skipped_lines": table.skipped_lines,
            "mapping": table.mapping,
            "extra": table.extra,
        }
        say(shown, as_json, lambda d: "\n".join(f"{k}: {v}" for k, v in d.items()))
        return
    if name is None:
        raise click.UsageError("Say --sequence NAME, or --show-mapping.")
    report = _sequence(name).import_csv(file, ai=not no_ai)
    _say_report(report, as_json)


@outreach.group()
def task() -> None:
    """Steps that wait for you."""


@task.command("list")
@JSON
def task_list(as_json: bool) -> None:
    """Open tasks."""
    from outreach_sdk.objects.journey import Task

    rows = [{"id": t.id, "kind": t.kind, "candidate": t.candidate, "skip_at": t.skip_at} for t in Task.list()]
    say(
        rows,
        as_json,
        lambda rs: "\n".join(f"{r['id']}. {r['kind']} for {r['candidate']}" for r in rs) or "No tasks.",
    )


@task.command("act")
@click.argument("number", type=int)
@click.argument("action", type=click.Choice(["send", "done", "skip"]))
@JSON
def task_act(number: int, action: str, as_json: bool) -> None:
    """Act on the task whose id is NUMBER (`id` in `task list`): the same one, however the list has changed."""
    from outreach_sdk.objects.journey import Task

    chosen = Task.get(number)
    {"send": chosen.send_now, "done": chosen.done, "skip": chosen.skip}[action]()
    say({"task": chosen.id, "action": action}, as_json, lambda _: "Done.")


@outreach.group()
def mailbox() -> None:
    """Mailboxes: list, connect, local, check, default, disconnect."""


@mailbox.command("list")
@JSON
def mailbox_list(as_json: bool) -> None:
    """One's mailboxes."""
    from outreach_sdk.objects.mailbox import Mailbox

    say(Mailbox.list(), as_json)


@mailbox.command("local")
@click.argument("address")
@JSON
def mailbox_local(address: str, as_json: bool) -> None:
    """Connect a Maildir on this machine, to try everything without an account."""
    from outreach_sdk.objects.mailbox import Mailbox

    box = Mailbox.connect_local(address)
    say({"id": box.id, "address": box.address}, as_json, lambda d: f"Connected {d['address']}.")


@mailbox.command("disconnect")
@click.argument("address")
@JSON
def mailbox_disconnect(address: str, as_json: bool) -> None:
    """Forget its tokens; journeys that need it pause."""
    from outreach_sdk.objects.mailbox import Mailbox

    told = Mailbox.get(address).disconnect()
    say({"address": address, "told": told}, as_json, lambda d: str(d["told"]))


@mailbox.command("check")
@click.argument("address")
@JSON
def mailbox_check(address: str, as_json: bool) -> None:
    """Test it on the live account: it writes itself two messages. Status 1 if a fact doesn't hold."""
    from outreach_sdk.objects.mailbox import Mailbox

    facts = Mailbox.get(address).check()
    say(facts, as_json, lambda fs: "\n".join(f"{k}: {v}" for k, v in fs.items()))
    if any(v != "ok" for v in facts.values()):
        sys.exit(1)


@mailbox.command("default")
@click.argument("address")
@JSON
def mailbox_default(address: str, as_json: bool) -> None:
    """Make it the one that one's new sequences send from."""
    from outreach_sdk.objects.mailbox import Mailbox

    Mailbox.get(address).make_default()
    say({"default": address}, as_json, lambda _: f"{address} is the default.")


@mailbox.command("connect")
@click.argument("provider", type=click.Choice(["gmail", "outlook"]))
@click.option("--address", default=None, help="Refuse any other account.")
@click.option(
    "--client-secrets", type=click.Path(), default=None, help="Gmail: the desktop application's JSON file."
)
@click.option("--client-id", default=None, help="Outlook: the application's id.")
@click.option("--tenant", default="common", show_default=True, help="Outlook: the directory.")
@click.option("--device", is_flag=True, help="Outlook: a code to type on any device.")
@click.option("--browser/--paste", default=None, help="Open one here, or paste what came back.")
@JSON
def mailbox_connect(
    provider: str,
    address: str | None,
    client_secrets: str | None,
    client_id: str | None,
    tenant: str,
    device: bool,
    browser: bool | None,
    as_json: bool,
) -> None:
    """Connect a Gmail or Outlook mailbox by consent on the provider's page."""
    from outreach_sdk.objects.mailbox import Mailbox

    if provider == "gmail":
        box = Mailbox.connect_gmail(client_secrets, address=address, browser=browser)
    else:
        box = Mailbox.connect_outlook(
            client_id, tenant=tenant, address=address, device=device, browser=browser
        )
    say({"id": box.id, "address": box.address}, as_json, lambda d: f"Connected {d['address']}.")


@outreach.command()
@click.option("--mailbox", "address", default=None, help="Only this one.")
@JSON
def sync(address: str | None, as_json: bool) -> None:
    """One reply and bounce check, now."""
    from outreach_sdk.objects.mailbox import Mailbox

    boxes = [Mailbox.get(which) for which in ([address] if address else Mailbox.list()["id"].to_list())]
    found = sum(box.sync() for box in boxes)
    say({"mailboxes": len(boxes), "messages": found}, as_json, lambda d: f"{d['messages']} new messages.")


@outreach.command()
@click.option(
    "--kind", default=None, help="Only answers of this kind: interested, not_now, question …, or all."
)
@JSON
def inbox(kind: str | None, as_json: bool) -> None:
    """What people answered, newest first."""
    from outreach_sdk.objects.inbox import inbox as read

    say(read(kind), as_json)


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
