"""Mutated mail through every judge: nothing raises, nothing takes long, the same bytes get the same answer.

python -m tests.fuzz_mail [HOW_MANY] [SEED]
"""

from __future__ import annotations

import datetime as dt
import random
import sys
import time
from pathlib import Path

from outreach_sdk.domain.classify import Verdict, classify
from outreach_sdk.domain.message import parse_incoming
from outreach_sdk.domain.reply_kind import reply_kind
from outreach_sdk.domain.threading import is_own, keys
from outreach_sdk.domain.visible import visible_text

FOLDER = Path(__file__).parent / "fixtures" / "emails"
NOON = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
LONGEST = 1.0
PIECES = (
    b"\n", b"\r\n", b"\r", b"\0", b" ", b"\n\n", b"--b\n", b"Content-Type: multipart/mixed; boundary=b\n",
    b"Content-Transfer-Encoding: base64\n", b"=?utf-8?q?=0A?=", b"<a@b.example>", b"550 5.1.1 ", b"From: ", b"\xff\xfe",
    "ß語я".encode(), b"On Mon, 2 Mar 2026 at 9:00, R <r@a.example> wrote:\n", b"> ", b"charset*0*=", b"; a*=b", b"9 March ",
    b"Auto-Submitted: no\n", b"Final-Recipient: rfc822; a@b.example\n", b"<", b">", b"&lt;", b"(((", b'"',
)  # fmt: skip


def seeds() -> list[bytes]:
    return [path.read_bytes() for path in sorted(FOLDER.glob("*.eml"))]


def mutated(chance: random.Random, corpus: list[bytes]) -> bytes:
    raw = bytearray(chance.choice(corpus))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(raw) + 1)
        to = min(len(raw), at + chance.randint(1, 60))
        match chance.randrange(7):
            case 0:
                del raw[at:to]
            case 1:
                raw[at:at] = chance.choice(PIECES) * chance.choice((1, 1, 1, 2, 200))
            case 2:
                raw[at:to] = bytes(chance.randrange(256) for _ in range(to - at))
            case 3:
                raw[at:at] = raw[at:to] * chance.randint(1, 40)
            case 4:
                other = chance.choice(corpus)
                raw[at:] = other[chance.randrange(len(other)) :]
            case 5:
                del raw[at:]
            case _:
                lines = bytes(raw).split(b"\n")
                chance.shuffle(lines)
                raw = bytearray(b"\n".join(lines))
    return bytes(raw)


def judged(raw: bytes) -> Verdict:
    message = parse_incoming(raw, provider_message_id="p", provider_thread_id=None, received_at=NOON)
    verdict = classify(message, now=NOON.date())
    reply_kind(visible_text(message.text), known=["ana@home.example"])
    keys(message)
    is_own(message, ["rita@acme.example"])
    return verdict


def run(how_many: int, seed: int) -> tuple[int, float]:
    """How many were judged, and the longest that one took; raises for the first that goes wrong."""
    chance, corpus, longest = random.Random(seed), seeds(), 0.0
    for number in range(how_many):
        raw = mutated(chance, corpus)
        began = time.process_time()
        try:
            verdict = judged(raw)
            took = time.process_time() - began
            assert took < LONGEST, f"{took:.1f} s"
            if number % 50 == 0:
                assert judged(raw) == verdict, "two answers"
        except BaseException as exc:
            exc.add_note(f"seed {seed}, message {number}:\n{raw!r}")
            raise
        longest = max(longest, took)
    return how_many, longest


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    began_at = time.monotonic()
    done, slowest = run(
        wanted, int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    )
    print(f"{done} messages in {time.monotonic() - began_at:.0f} s, the longest {slowest * 1000:.0f} ms")
