"""How well incoming mail is judged, beside flufl.bounce (and sisimai, if it is installed) on the same messages.

    python benchmarks/classify.py [CORPORA]        or OUTREACH_CORPORA=CORPORA

CORPORA holds `bounces/`, `autoreplies/` and `replies/`, each with an `expected.jsonl`. `--half a` or `--half b`
takes only the messages whose name hashes even or odd, so that rules made on one half are tried on the other
(`c` and `d` are halves of `b`);
`--misses` prints what was judged otherwise than expected.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime as dt
import email
import email.policy
import hashlib
import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CORPORA = os.environ.get("OUTREACH_CORPORA")  # _common drops the names that begin like this

from _common import table  # noqa: E402 - puts the project on the path

from outreach_sdk.domain.classify import Verdict, classify  # noqa: E402
from outreach_sdk.domain.message import html_to_text, parse_incoming  # noqa: E402
from outreach_sdk.domain.visible import visible_text  # noqa: E402

NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
GOALS = {
    "bounce or not": 0.995,
    "kind": 0.99,
    "hard or not (tier A)": 0.97,
    "recipients (oracles agree)": 0.98,
    "auto-reply": 0.95,
    "return date": 0.95,
    "human, not a machine": 1.0,
    "visible text: discourse": 0.95,
    "visible text: mailgun": 0.95,
}


@dataclass
class Tally:
    ours: int = 0
    flufl: int = 0
    sisimai: int = 0
    all: int = 0
    misses: list[str] = field(default_factory=list)


SCORES: dict[tuple[str, str], Tally] = collections.defaultdict(Tally)
TIMES: list[float] = []


CRASHES: collections.Counter[str] = collections.Counter()
PEER_ERRORS = (LookupError, ValueError, TypeError, AttributeError, RecursionError)
"""What a parser raises over a message it didn't foresee. Anything else is a fault of this script's."""


def crashed(peer: str, error: Exception) -> None:
    """A peer that raises has found nothing; how often is printed."""
    CRASHES[f"{peer} ({type(error).__name__})"] += 1


def judge(raw: bytes) -> tuple[Verdict, str]:
    began = time.perf_counter()
    message = parse_incoming(raw, provider_message_id="m", provider_thread_id=None, received_at=NOON)
    now = (message.date or NOON).date()
    message = parse_incoming(
        raw, provider_message_id="m", provider_thread_id=None, received_at=message.date or NOON
    )
    verdict = classify(message, now=now)
    TIMES.append(time.perf_counter() - began)
    return verdict, message.text


def flufl(raw: bytes) -> tuple[set[str], set[str]]:
    """(permanent, temporary)."""
    import flufl.bounce

    logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL + 1)  # it logs what it raises
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            temporary, permanent = flufl.bounce.all_failures(
                email.message_from_bytes(raw, policy=email.policy.compat32)
            )
    except PEER_ERRORS as error:
        crashed("flufl.bounce", error)
        return set(), set()

    def plain(found: Any) -> set[str]:
        return {(f.decode("ascii", "replace") if isinstance(f, bytes) else str(f)).lower() for f in found}

    return plain(permanent), plain(temporary)


def sisimai() -> Callable[[bytes], list[dict[str, Any]]] | None:
    with contextlib.suppress(ImportError):
        import sisimai as other  # type: ignore[import-not-found]

        def ask(raw: bytes) -> list[dict[str, Any]]:
            try:
                return list(json.loads(other.dump(raw) or "[]"))
            except PEER_ERRORS as error:
                crashed("sisimai", error)
                return []

        return ask
    return None


def count(source: str, what: str, ours: bool, miss: str, others: tuple[bool, bool] = (False, False)) -> None:
    for key in ((source, what), ("all", what)):
        tally = SCORES[key]
        tally.all += 1
        tally.ours += ours
        tally.flufl += others[0]
        tally.sisimai += others[1]
        if not ours and key[0] == "all":
            tally.misses.append(miss)


def rows(folder: Path, half: str | None) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "expected.jsonl").open(encoding="utf-8")]
    if half is None:
        return found
    # a: even; b: odd, of which c and d are halves
    wanted = {"a": (0, 2), "b": (1, 3), "c": (1,), "d": (3,)}[half]
    return [r for r in found if _digest(r.get("path") or r.get("id", "")) % 4 in wanted]


def _digest(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0]


PERMANENCE = ("flufl.bounce", "bounced", "baunsu")
"""Sources whose "hard" says that the refusal is permanent, a full mailbox's too; the others' says that there is no
such user or host, which is what `Verdict.hard` says. Each is scored by its own notion besides."""

KINDS = {"autoreply": "auto_reply", "delivered": "delivery_notice", "not_bounce": "human"}


def bounces(folder: Path, half: str | None) -> None:
    other = sisimai()
    for row in rows(folder, half):
        raw = (folder / row["path"]).read_bytes()
        verdict, _ = judge(raw)
        permanent, temporary = flufl(raw)
        theirs = other(raw) if other else []
        source = row["source"].split("@")[0].split(" ")[0]
        kind = KINDS.get(row["kind"], row["kind"])
        found = f"{verdict.kind} hard={verdict.hard} {verdict.status} {verdict.recipients} | {verdict.reason}"
        told = f"{row['tier']:2} {row['path']}: {found}"
        # A notice of delay says that delivery failed so far: these corpora count it among the bounces.
        bounced = verdict.kind == "bounce" or (verdict.kind == "delivery_notice" and verdict.hard is False)
        meant = kind == "bounce"
        count(
            source,
            "bounce or not",
            bounced == meant,
            told,
            (bool(permanent | temporary) == meant, bool(theirs) == meant),
        )
        if row["kind"] == "not_bounce":
            count(source, "kind", verdict.kind not in ("bounce", "complaint"), told)
        else:
            count(source, "kind", verdict.kind == kind or (kind == "bounce" and bounced), f"{kind}? {told}")
        if kind != "bounce":
            continue
        if row["hard"] is not None:
            right = (
                bounced and bool(verdict.hard) == row["hard"],
                (bool(permanent) and not temporary) == row["hard"] and bool(permanent | temporary),
                bool(theirs) and any(t.get("hardbounce") for t in theirs) == row["hard"],
            )
            name = "hard or not (tier A)" if row["tier"] == "A" else "hard or not (other tiers)"
            count(source, name, right[0], f"{row['hard']}? {told}", right[1:])
            if source in PERMANENCE and row["tier"] == "A":
                lasting = bounced and verdict.kind == "bounce" and not (verdict.status or "").startswith("4")
                theirs_too = (bool(permanent) and not temporary) == row["hard"]
                count(
                    source,
                    "permanent or not",
                    lasting == row["hard"],
                    f"{row['hard']}? {told}",
                    (theirs_too, False),
                )
            elif row["tier"] == "A":
                count(source, "address at fault or not", right[0], f"{row['hard']}? {told}", right[1:])
        if row["oracles_agree_on_recipients"]:
            expected = {r.lower() for r in row["recipients"]}
            count(
                source,
                "recipients (oracles agree)",
                set(verdict.recipients) == expected,
                f"{sorted(expected)}? {told}",
                ((permanent | temporary) == expected, {t.get("recipient") for t in theirs} == expected),
            )


def autoreplies(folder: Path, half: str | None) -> None:
    for row in rows(folder, half):
        raw = (folder / row["path"]).read_bytes()
        verdict, _ = judge(raw)
        language = row["language"] or "-"
        found = f"{verdict.kind} {verdict.return_date} left={verdict.left_company} {verdict.evidence}"
        told = f"{row['path']} ({row['kind']}): {found}"
        machine = row["kind"] in ("ooo", "left_company", "challenge", "auto_ack", "auto_header_only")
        permanent, temporary = flufl(raw)
        quiet = not (permanent | temporary)
        if not machine:
            count(language, "human, not a machine", verdict.kind == "human", told, (quiet, False))
            continue
        count(language, "auto-reply", verdict.kind == "auto_reply", told)
        if row["kind"] == "left_company":
            count(language, "left the company", verdict.left_company, told)
        else:
            count(language, "not left the company", not verdict.left_company, told)
        stated = re.match(r"\d{4}-\d\d(?:-\d\d)?", row["return_date"] or "")
        shown = verdict.return_date.isoformat() if verdict.return_date else ""
        right = shown.startswith(stated.group()) if stated else shown == ""
        count(language, "return date", right, f"{row['return_date']}? {told}")


def replies(folder: Path, half: str | None) -> None:
    for row in rows(folder, half):
        if ("exact" not in row["match"] and "whitespace" not in row["match"]) or row.get(
            "expect_visible"
        ) is None:
            continue
        source = row["source"].split("@")[0].split("/")[0]
        raw = (folder / row["input_path"]).read_bytes() if "input_path" in row else row["input_text"].encode()
        if row["format"].startswith("eml"):
            text = judge(raw)[1]
        elif row["format"] == "html":
            text = html_to_text(raw.decode("utf-8", "replace"))
        else:
            text = raw.decode("utf-8", "replace")
        got, want = visible_text(text), row["expect_visible"]
        if "strips signature" in row["match"]:
            want = visible_text(
                want
            )  # some of its expected texts hold the signature, which isn't wanted here
        if "whitespace" in row["match"]:
            got, want = " ".join(got.split()), " ".join(want.split())
        near = " ".join(got.split()) == " ".join(want.split())
        other = _quotequail(text)
        told = f"{row['id']}:\n      got {got!r}\n     want {want!r}"
        for what, right, peer in (
            (f"visible text: {source}", got.strip() == want.strip(), other.strip() == want.strip()),
            (
                f"visible text but white space: {source}",
                near,
                " ".join(other.split()) == " ".join(want.split()),
            ),
        ):
            count("quotequail as peer", what, right, told, (peer, False))


def _quotequail(text: str) -> str:
    import quotequail

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "\n".join(piece for shown, piece in quotequail.quote(text, limit=100_000) if shown)
    except PEER_ERRORS as error:
        crashed("quotequail", error)
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("corpora", nargs="?", default=CORPORA)
    parser.add_argument("--half", choices=["a", "b", "c", "d"])
    parser.add_argument("--misses", action="store_true")
    wanted = parser.parse_args()
    if not wanted.corpora:
        print("No corpora: name their folder, or set OUTREACH_CORPORA. Skipped.")
        return 0
    folder = Path(wanted.corpora)
    for name, score in (("bounces", bounces), ("autoreplies", autoreplies), ("replies", replies)):
        if (folder / name / "expected.jsonl").is_file():
            score(folder / name, wanted.half)
    missed = 0
    lines: list[tuple[object, ...]] = []
    for (source, what), tally in sorted(
        SCORES.items(), key=lambda kv: (kv[0][1], kv[0][0] != "all", kv[0][0])
    ):
        share = tally.ours / tally.all
        goal = GOALS.get(what) if source == "all" else None
        missed += goal is not None and share < goal
        lines.append(
            (what, source, f"{tally.ours}/{tally.all}", f"{share:.1%}", f"{tally.flufl / tally.all:.1%}")
            + ((f"{tally.sisimai / tally.all:.1%}",) if sisimai() else ())
            + ("" if goal is None else f"{goal:.1%}" + ("" if share >= goal else " missed"),)
        )
    peers = ["flufl.bounce, quotequail"] + (["sisimai"] if sisimai() else [])
    table("Judging incoming mail", ("what", "source or language", "right", "ours", *peers, "goal"), lines)
    TIMES.sort()
    print(
        f"\n{len(TIMES)} messages read and judged, median {TIMES[len(TIMES) // 2] * 1000:.1f} ms, "
        f"longest {TIMES[-1] * 1000:.0f} ms"
    )
    print("crashes of peers: " + (", ".join(f"{n} x {k}" for k, n in sorted(CRASHES.items())) or "none"))
    if wanted.misses:
        for (source, what), tally in sorted(SCORES.items()):
            if source == "all" and tally.misses:
                print(f"\n-- {what}")
                print("\n".join(f"   {m}" for m in tally.misses))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
