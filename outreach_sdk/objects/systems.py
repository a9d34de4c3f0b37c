"""Connected systems: applicant tracking systems and Calendly, their keys and their webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outreach_sdk.ats.port import Checks, Subscribes
from outreach_sdk.engine import hooks
from outreach_sdk.errors import ConfigError, InvalidInput, NotFound, OutreachError
from outreach_sdk.objects.frames import frame
from outreach_sdk.objects.session import Session
from outreach_sdk.wiring import check_notices

if TYPE_CHECKING:
    import polars as pl

__all__ = ["ConnectedSystems"]


class ConnectedSystems:
    """The part of a workspace that knows other systems."""

    _session: Session

    def systems(self) -> pl.DataFrame:
        """Frame: system, asked_for (interviews, people, hooks), complete_at (what is known is at least that fresh),
        next_at, error."""
        rows = self._session.store.rows(
            "SELECT * FROM ats_polls WHERE workspace_id = ? ORDER BY source, what", self._session.workspace_id
        )
        for row in rows:
            row["system"], row["asked_for"] = row["source"], row["what"]
        return frame(rows, system="str", asked_for="str", complete_at="time", next_at="time", error="str")

    def check_systems(self) -> list[dict[str, Any]]:
        """Try the key of each system that this process has one for, and the server of notices, and say how webhooks
        stand: check, ok, say."""
        told = []
        for name in self._session.engine.connected:
            account = self._session.engine.asker(name)
            ok, say = True, "It answers."
            try:
                if isinstance(account, Checks):
                    account.check()
            except OutreachError as exc:
                ok, say = False, str(exc)
            told.append({"check": f"key of {name}", "ok": ok, "say": say})
        if self._session.settings.smtp_url is not None:
            ok, say = True, "It answers."
            try:
                check_notices(self._session.settings)
            except OutreachError as exc:
                ok, say = False, f"{str(exc).rstrip('.')}. Notices wait until it does."
            told.append({"check": "OUTREACH_SMTP_URL", "ok": ok, "say": say})
        wrong = hooks.troubles(self._session.store, self._session.workspace_id)
        told += [{"check": "webhooks", "ok": False, "say": one} for one in wrong]
        return told

    def subscribe_webhooks(self, source: str) -> list[dict[str, Any]]:
        """Have a system (calendly, lever, ashby, workable, smartrecruiters) send its webhooks here; what stands there
        then: id, target, about. Admins only. What stands already is left, what was disabled is made anew.
        ConfigError, InvalidInput, AtsError."""
        session = self._session
        if session.user["role"] != "admin":
            raise NotFound("Only an admin subscribes to webhooks: ask yours.")
        account = session.engine.asker(source)
        if not isinstance(account, Subscribes):
            may = "calendly, lever, ashby, workable, smartrecruiters"
            raise InvalidInput(
                "source",
                source,
                f"Set OUTREACH_<NAME>_API_KEY of {may}; the others are set up in their consoles (docs/webhooks.md).",
            )
        if session.settings.public_url is None:
            raise ConfigError(
                "OUTREACH_PUBLIC_URL: not set. Say where the web service is reached from outside."
            )
        secrets = session.settings.webhook_secrets.get(source, ())
        if not secrets and account.takes_secret:
            raise ConfigError(
                f"OUTREACH_{source.upper()}_WEBHOOK_SECRETS: not set. Choose a long random secret, set it where the web "
                "service runs, restart that, then subscribe."
            )
        target = session.settings.public_url + hooks.path_of(source)
        secret = secrets[0].reveal() if secrets else ""
        made = hooks.subscribe(session.engine, source, target, secret)
        return [{"id": h.external_id, "target": h.target, "about": h.why} for h in made]
