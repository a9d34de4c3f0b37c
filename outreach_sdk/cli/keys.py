"""Commands about the keys that tokens are encrypted with."""

from __future__ import annotations

import sys

from outreach_sdk.cli.base import JSON, outreach, say


@outreach.group()
def key() -> None:
    """The keys that mailbox tokens are encrypted with: new, rotate."""


@key.command("new")
@JSON
def key_new(as_json: bool) -> None:
    """Print a fresh key, once. Put it in front of OUTREACH_SECRET_KEYS, then rotate."""
    from outreach_sdk.vault import new_key

    say({"key": new_key()}, as_json, lambda d: str(d["key"]))


@key.command("rotate")
@JSON
def key_rotate(as_json: bool) -> None:
    """Encrypt all tokens afresh with the newest key; an embedded home makes itself a new one first.
    Sending goes on meanwhile. Older keys can be taken out afterwards."""
    from outreach_sdk.config import Settings
    from outreach_sdk.storage.store import open_store
    from outreach_sdk.vault import rotate

    settings = Settings.from_env()
    if settings.database_url.startswith("sqlite"):
        settings.ensure_home()
    done, lost = rotate(settings, open_store(settings.database_url))
    say(
        {"renewed": done, "lost": lost},
        as_json,
        lambda d: (
            f"{d['renewed']} encrypted with the newest key." + "".join(f"\n{line}" for line in d["lost"])
        ),
    )
    if lost:
        sys.exit(1)
