"""A sequence's e-mails to one's own inbox."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from outreach_sdk.domain.contact import normalise_email
from outreach_sdk.engine import testing
from outreach_sdk.errors import InvalidInput, MissingField
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session
from outreach_sdk.storage.store import in_marks
from outreach_sdk.vault import Vault

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SequenceTesting"]


class SequenceTesting:
    """The part of a `Sequence` that tries its e-mails out."""

    id: int
    _session: Session

    def _row(self) -> dict[str, Any]:
        return self._session.scope.get("sequences", self.id, "sequence")

    if TYPE_CHECKING:

        def _expected(self, candidate: Any) -> list[dict[str, Any]]: ...

    def send_test(self, to: str, *, candidate: Any = None, wait: float = 60.0) -> pl.DataFrame:
        """Send every e-mail of it at once to yourself or a colleague, as it would be for `candidate` (as in `preview`),
        from the sequence's mailbox; each subject begins with [Test]. No journey knows of it.

        Frame: step, subject, state ("sent", "failed", "unknown", or "planned" where workers didn't come to it within
        `wait` seconds), detail. InvalidInput for a candidate's address, one that wants no mail, or without a mailbox or
        e-mail; MissingField."""
        row, store, session = self._row(), self._session.store, self._session
        address = normalise_email(to)
        if store.value(
            "SELECT 1 FROM candidate_emails WHERE workspace_id = ? AND address = ?",
            row["workspace_id"],
            address,
        ) or store.value(
            "SELECT 1 FROM suppressions WHERE workspace_id = ? AND ((kind = 'address' AND value = ?) OR "
            "(kind = 'domain' AND value = ?))",
            row["workspace_id"],
            address,
            address.rpartition("@")[2],
        ):
            raise InvalidInput("to", to, "A test goes to yourself or a colleague, not to a candidate.")
        mails = [m for m in self._expected(candidate) if m["kind"] == "email"]
        if row["mailbox_id"] is None or not mails:
            raise InvalidInput(
                "mailbox", None, "A test needs a mailbox and an e-mail: seq.set_mailbox, add_email."
            )
        if lacking := sorted({f for m in mails if m.get("missing") for f in m["missing"].split(", ")}):
            raise MissingField(lacking)
        planned = [
            {
                "number": m["step"],
                "recipient": address,
                "subject": f"[Test] {m['subject']}",
                "body_html": m["html"],
                "body_text": m["text"],
                "candidate_id": m["candidate"],
            }
            for m in mails
        ]
        ids = testing.plan(session.engine, session.user, row["mailbox_id"], self.id, planned)
        if Vault.held(session.settings):
            testing.run(session.engine)
        until = time.monotonic() + wait
        while True:
            rows = store.rows(
                f"SELECT number AS step, subject, state, detail, lease_until FROM test_sends WHERE id IN {in_marks(ids)} "
                "ORDER BY id",
                *ids,
            )
            if all(r["lease_until"] is None for r in rows) or time.monotonic() >= until:
                return frame(rows, step="int", subject="str", state="str", detail="str")
            time.sleep(0.2)
