"""Starting and ending this home's engine from a notebook."""

from __future__ import annotations

from outreach_sdk import runtime
from outreach_sdk.errors import EngineError
from outreach_sdk.objects.session import current

__all__ = ["down", "up"]


def up(workers: int | None = None, detach: bool = False) -> runtime.Status:
    """Start Redis (if embedded), workers, clock and web as child processes of one supervisor. Returns at
    once; calling it again changes nothing. It ends with this kernel unless `detach`. EngineError says why not."""
    if current().walled:
        raise EngineError("The engine runs elsewhere: a notebook behind the database's wall starts none.")
    return runtime.up(current().settings, workers=workers, detach=detach)


def down() -> bool:
    """End it; False if it wasn't running."""
    return runtime.down(current().settings)
