"""Starting and ending this home's engine from a notebook."""

from __future__ import annotations

from outreach_sdk import runtime
from outreach_sdk.objects.session import current

__all__ = ["down", "up"]


def up(workers: int | None = None, detach: bool = False) -> runtime.Status:
    """Start Redis (if embedded), workers, clock and web as child processes of one supervisor. Returns at
    once; calling it again changes nothing. It ends with this kernel unless `detach`. EngineError says why not."""
    return runtime.up(current().settings, workers=workers, detach=detach)


def down() -> bool:
    """End it; False if it wasn't running."""
    return runtime.down(current().settings)
