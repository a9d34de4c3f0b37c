"""Starting and ending this home's engine from a notebook."""

from __future__ import annotations

from typing import Any

from outreach_sdk.objects.session import current

__all__ = ["down", "up"]


def up(workers: int | None = None, detach: bool = False) -> Any:
    """Start Redis (if embedded), workers, clock and web as child processes of one supervisor. Returns at
    once; calling it again changes nothing. It ends with this kernel unless `detach`. EngineError says why not."""
    import importlib

    runtime = importlib.import_module("outreach_sdk.runtime")
    return runtime.up(current().settings, workers=workers, detach=detach)


def down() -> bool:
    """End it; False if it wasn't running."""
    import importlib

    runtime = importlib.import_module("outreach_sdk.runtime")
    return bool(runtime.down(current().settings))
