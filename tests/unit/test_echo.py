"""What counts as a repetition of our e-mail, and what as somebody's own words."""

from __future__ import annotations

import pytest

from outreach_sdk.domain.echo import without_echo

OURS = (
    "Hi Bo,\n\n"
    "Are you open to talk about a position in Berlin?\n"
    "If this isn't for you, just reply \"please remove me from your list\" and you won't hear from me again.\n\n"
    "Ada Lovelace\nRecruiter, Agency Example"
)
LINES = [line for line in OURS.split("\n") if line]


@pytest.mark.parametrize(
    "answer",
    [
        "Please remove me from your list",
        "please  remove me\nfrom your list",
        "Hi Ada,\n\nplease remove me from your list\n\nBo",
        "No, thank you.\nPlease remove me from your list\nBo",
        "No, thank you.\nPlease remove me\nfrom your list\nBo",
    ],
)
def test_the_words_we_suggest_are_theirs(answer: str) -> None:
    assert without_echo(answer, [OURS]) == answer


@pytest.mark.parametrize("below", [OURS, OURS.replace("just reply ", "just reply\n"), LINES[1]])
def test_they_stay_theirs_above_our_e_mail_without_marks(below: str) -> None:
    answer = "Please remove me from your list"
    assert without_echo(f"{answer}\n\nAda:\n{below}", [OURS]).split() == f"{answer} Ada:".split()


def test_a_line_of_ours_that_an_answer_begins_with_is_theirs() -> None:
    ours = (
        "Are you open to talk about a position?\nIf not, answer with:\n\nPlease unsubscribe me from your list"
    )
    for answer in ("Please unsubscribe me from your list", "Dear Ada,\nPlease unsubscribe me from your list"):
        assert without_echo(answer, [ours]) == answer
    assert "unsubscribe" not in without_echo(f"Gladly!\n\n{ours}", [ours])


@pytest.mark.parametrize(
    "quoted",
    [
        OURS,
        "\n".join(f"> {line}" for line in LINES),
        f"| {LINES[2]}",
        f"> {LINES[2][30:70]}",
        LINES[2],
        OURS.replace('"please', '\n"please').replace("hear", "hear\n"),
        f"{LINES[1]}\n\n\n{LINES[2][:50]}\n{LINES[2][50:]}",
        f"{LINES[2][24:60]}\n{LINES[2][60:]}",
    ],
)
def test_our_words_below_theirs_are_a_repetition(quoted: str) -> None:
    assert without_echo(f"Sounds good, call me.\n\n{quoted}", [OURS]).strip() == "Sounds good, call me."


def test_our_e_mail_above_their_answer_is_a_repetition() -> None:
    assert without_echo(f"{OURS}\n\nGladly, call me.", [OURS]).strip() == "Gladly, call me."


def test_a_short_line_is_nobodys() -> None:
    assert without_echo("Ada Lovelace", [OURS]) == "Ada Lovelace"
