from __future__ import annotations

import resource

import pytest

from tests.fuzz_mail import judged, run

HEADS = {
    "a report in words": b"From: MAILER-DAEMON@x.example\nSubject: Undelivered Mail Returned to Sender\n\n",
    "an automatic reply": b"From: a@x.example\nSubject: Automatic reply: x\nAuto-Submitted: auto-replied\n\n",
    "a reply": b"From: a@x.example\nSubject: Re: x\n\n",
    "HTML": b"From: a@x.example\nSubject: Re: x\nContent-Type: text/html\n\n",
    "a report": (
        b'From: MAILER-DAEMON@x.example\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"'
        b"\n\n--b\nContent-Type: message/delivery-status\n\n"
    ),
}
PIECES = [
    b"a", b" ", b"\n", b"\n ", b"a@", b"@", b"<", b'<a href="x">', b"--", b"-- \n", b">\n", b"550 ", b"1.", b"1 march ",
    b"On Mon, 2 Mar 2026 <a@b.c>\n", b"From: a\n", b"<a@b.example>\n", b"user mailbox ", b"no longer ", b"(", b"<style>",
    b"Final-Recipient: rfc822; a@b.example\nAction: failed\nStatus: 5.1.1\n\n", b"x: \n", b"=?utf-8?q?a?= ", b"remove me ",
    b'--b\nContent-Type: multipart/mixed; boundary="b"\n\n',
]  # fmt: skip
HEADERS = [
    b"From: <,", b"From: a@b,", b"From: (", b'From: "', b"Subject: =?utf-8?q?a?= ", b"Subject: =?", b"References: <a@b> ",
    b"Content-Type: a; ", b"Content-Type: text/plain; a*0=b;", b"Content-Type: multipart/report; boundary=", b"Date: 1 ",
    b"X-Failed-Recipients: a@b,", b"X: y\nX: ",
]  # fmt: skip


# What grows with the square of its size takes minutes at two megabytes; how long it really takes is measured by
# `make fuzz`.
@pytest.mark.parametrize("head", HEADS)
def test_hostile_bodies_are_judged_in_bounded_time(head: str) -> None:
    for piece in PIECES:
        assert judged(HEADS[head] + piece * (2_000_000 // len(piece))).kind, piece


@pytest.mark.parametrize("size", [100_000, 2_000_000])
def test_hostile_headers_are_judged_in_bounded_time(size: int) -> None:
    for piece in HEADERS:
        name, _, rest = piece.partition(b" ")
        raw = name + b" " + rest * (size // len(rest)) + b"\nFrom: MAILER-DAEMON@x.example\n\nhello"
        assert judged(raw).kind, piece


def test_deep_nesting_is_read_as_text() -> None:
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(3_000)
    )
    assert judged(b"From: a@x.example\nSubject: Re: x\n" + deep + b"\nYes").kind == "human"


def test_a_message_of_25_mb_takes_little_memory() -> None:
    line = b"QUJD" * 18 + b"\n"
    raw = (
        b'From: a@x.example\nSubject: Re: x\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n'
        b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
        + line * (25_000_000 // len(line))
        + b"--b\nContent-Type: text/plain\n\nPlease unsubscribe me.\n--b--\n"
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert judged(raw).opt_out
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 60_000  # kB


@pytest.mark.parametrize("seed", range(2))
def test_mutated_mail_is_judged_whatever_it_is(seed: int) -> None:
    assert run(1_250, seed)[1] < 1
