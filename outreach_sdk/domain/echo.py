"""What a reply repeats of the e-mail it answers, found by the e-mail itself and so in any language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

__all__ = ["without_echo"]

LONG = 20
"""Characters, blanks aside, from which on what stands in our e-mail is taken for repeated; less may be chance."""

GREETING = 40
"""Characters of the longest line that is taken for a greeting."""

_MAX = 40_000
_MAX_RUN = 500


def without_echo(text: str, ours: Sequence[str]) -> str:
    """`text` without what it repeats of one of `ours`, quoted (`>`) or not, wrapped anew or not. Words of ours that
    somebody may write themselves stay, since an e-mail may say what to answer with: without a mark, a piece out of a
    line of ours, and one line of ours that the answer begins with."""
    mails = [mail for one in ours if (mail := _Mail.of(one)).words]
    lines = text[:_MAX].splitlines()
    written = [(n, words) for n, line in enumerate(lines) if (words := _plain(line.lstrip(_MARKS)))]
    echoed: set[int] = set()
    at = 0
    while mails and at < len(written):
        run = _run(mails, written[at : at + _MAX_RUN])
        certain = run.whole > 1 or any(lines[n].lstrip()[:1] in (">", "|") for n in run.numbers)
        likely = run.whole > 0 or (run.at_edge and len(run.numbers) > 1)
        if certain or (likely and not _opens([lines[n] for n, _ in written[:at]])):
            echoed.update(run.numbers)
        at += max(len(run.numbers), 1)
    return "\n".join(line for n, line in enumerate(lines) if n not in echoed) + text[_MAX:]


_MARKS = " \t>|"


def _plain(text: str) -> str:
    return "".join(text.casefold().split())


@dataclass(frozen=True, slots=True)
class _Mail:
    """An e-mail of ours without its blanks, and where each of its longer lines begins and ends in that."""

    words: str
    lines: tuple[tuple[int, int], ...]

    @staticmethod
    def of(text: str) -> _Mail:
        lines = [_plain(line) for line in text[:_MAX].splitlines()]
        ends = accumulate(map(len, lines))
        places = ((end - len(line), end) for line, end in zip(lines, ends, strict=True))
        return _Mail("".join(lines), tuple(p for p in places if p[1] - p[0] >= LONG))

    def holds(self, words: str) -> tuple[int, bool]:
        """How many whole lines of it `words` are, and whether they begin or end with one."""
        start = self.words.find(words)
        end = start + len(words)
        if start < 0:
            return 0, False
        whole = sum(start <= first and last <= end for first, last in self.lines)
        return whole, any(first == start or last == end for first, last in self.lines)


@dataclass(frozen=True, slots=True)
class _Run:
    """Lines of an answer that stand in an e-mail of ours one after another: how many whole lines of it they are, and
    whether they begin or end with one."""

    numbers: tuple[int, ...] = ()
    whole: int = 0
    at_edge: bool = False


def _run(mails: Sequence[_Mail], written: Sequence[tuple[int, str]]) -> _Run:
    """The run that begins with the first of these lines; an empty one for too little."""
    joined, numbers = "", list[int]()
    for number, words in written:
        if not any(joined + words in mail.words for mail in mails):
            break
        joined += words
        numbers.append(number)
    if len(joined) < LONG:
        return _Run()
    whole, at_edge = max(mail.holds(joined) for mail in mails)
    return _Run(tuple(numbers), whole, at_edge)


def _opens(before: Sequence[str]) -> bool:
    """Whether an answer's own words begin below these lines: none, or a greeting."""
    return not before or (
        len(before) == 1 and len(before[0].strip()) <= GREETING and before[0].rstrip().endswith(",")
    )
