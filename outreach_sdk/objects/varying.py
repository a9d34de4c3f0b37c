"""Variants of a step's texts: written beside it, taken back, compared (rule 31)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.sequence import StepKind, StepPlan, check_step
from outreach_sdk.domain.variants import FIRST, Variant, known, live, next_letter, stored_form
from outreach_sdk.engine import revising
from outreach_sdk.errors import InvalidInput, NotFound
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SequenceVariants"]

Many = tuple[Variant, ...]


class SequenceVariants:
    """The part of a `Sequence` that tries several texts for one step."""

    id: int
    _session: Session

    if TYPE_CHECKING:

        def _nth(self, n: int) -> dict[str, Any]: ...

        def _change(self, work: Callable[[], None]) -> None: ...

    def add_variant(self, n: int, subject: str | None = None, body: str | None = None) -> str:
        """Try another text for e-mail step `n` (from 1) beside the step itself, which is A; its letter. None: A's own.
        Everybody is drawn one variant, evenly and for good; a new one reaches its share of those who haven't been
        written to. `stats(by="variant")` compares. InvalidInput."""
        if not any((text or "").strip() for text in (subject, body)):
            raise InvalidInput(
                "subject, body", None, "Give a subject or a body that differs from the step's."
            )
        made: list[str] = []

        def add(step: dict[str, Any], variants: Many) -> Many:
            letter = next_letter(variants)
            if letter is None:
                raise InvalidInput("variant", len(variants), "A step has at most 26 variants in all.")
            made.append(letter)
            return (*variants, _checked(step, Variant(letter, subject, body)))

        self._vary(n, add)
        return made[-1]

    def edit_variant(self, n: int, letter: str, **changes: str | None) -> None:
        """Change `subject` or `body` of a variant of step `n`; None: A's own. It reaches whatever isn't `sending` yet.
        A is the step: `edit_step`. InvalidInput, NotFound."""
        if not changes or set(changes) - {"subject", "body"}:
            raise InvalidInput("changes", sorted(changes), "Use subject, body.")

        def edit(step: dict[str, Any], variants: Many) -> Many:
            one = _checked(step, replace(_found(variants, letter), **changes))  # type: ignore[arg-type]
            if not any((text or "").strip() for text in (one.subject, one.body)):
                raise InvalidInput("subject, body", None, f"remove_variant({n}, {letter!r}) takes it out.")
            return tuple(one if v.letter == letter else v for v in variants)

        self._vary(n, edit)

    def remove_variant(self, n: int, letter: str) -> None:
        """Take a variant of step `n` out: those it hasn't written to fall to the others. Its letter isn't given again,
        and its numbers stay. InvalidInput for A, NotFound."""

        def remove(step: dict[str, Any], variants: Many) -> Many:
            gone = replace(_found(variants, letter), removed=True)
            return tuple(gone if v.letter == letter else v for v in variants)

        self._vary(n, remove)

    def variants(self, n: int) -> pl.DataFrame:
        """Frame of step `n`'s, A first: variant, subject, body (as people get them), share (of the people)."""
        step = self._nth(n)
        if step["kind"] != StepKind.EMAIL:
            return frame([], variant="str", subject="str", body="str", share="float")
        every = (Variant(FIRST), *live(step["variants"]))
        rows = [
            {
                "variant": v.letter,
                "subject": step["subject"] if v.subject is None else v.subject,
                "body": step["body"] if v.body is None else v.body,
                "share": 1 / len(every),
            }
            for v in every
        ]
        return frame(rows, variant="str", subject="str", body="str", share="float")

    def _vary(self, n: int, change: Callable[[dict[str, Any], Many], Many]) -> None:
        store = self._session.store
        step = self._nth(n)
        if step["kind"] != StepKind.EMAIL:
            raise InvalidInput("n", n, "Only an e-mail has variants.")

        def work() -> None:
            # Two who change them at once: the second sees what the first made.
            row = store.one(f"SELECT * FROM steps WHERE id = ?{store.for_update}", step["id"]) or step
            new = stored_form(change(row, known(row["variants"])))
            done = store.write(
                "UPDATE steps SET variants = ? WHERE id = ? AND variants = ? AND removed_at IS NULL",
                new,
                step["id"],
                row["variants"],
            )
            if not done:
                raise NotFound(f"Step {n} was removed or changed meanwhile.")
            if "ai(" in new.replace(" ", ""):
                revising.replan(self._session.engine, self.id, step["id"], keep=True)

        self._change(work)


def _found(variants: Many, letter: str) -> Variant:
    if letter == FIRST:
        raise InvalidInput("letter", letter, "A is the step itself: edit_step, remove_step.")
    for variant in variants:
        if variant.letter == letter and not variant.removed:
            return variant
    raise NotFound(f"There is no variant {letter!r} of this step.")


def _checked(step: dict[str, Any], variant: Variant) -> Variant:
    if variant.subject is not None and step["thread"] == "reply":
        raise InvalidInput("subject", variant.subject, "An answer in the thread keeps the thread's subject.")
    for name in ("subject", "body"):
        text = getattr(variant, name)
        if text is not None and not text.strip():
            raise InvalidInput(name, text, "Write something, or give None for the step's own.")
    check_step(StepPlan(StepKind.EMAIL, subject=variant.subject, body=variant.body))
    return variant
