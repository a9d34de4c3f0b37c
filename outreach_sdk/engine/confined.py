"""Which files may be read while somebody else's call is carried out: those that came with it, and no others of this
machine's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from outreach_sdk.errors import InvalidInput

__all__ = ["check_path", "confined", "confined_to"]

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def confined(folder: Path) -> Iterator[None]:
    """Within, files of `folder` alone are read."""
    token = _folder.set(folder.resolve())
    try:
        yield
    finally:
        _folder.reset(token)


def confined_to() -> Path | None:
    """The folder, None where every file may be read."""
    return _folder.get()


def check_path(path: Path) -> Path:
    """`path`, if it may be read. InvalidInput."""
    folder = _folder.get()
    if folder is not None and not path.resolve().is_relative_to(folder):
        raise InvalidInput("path", path.name, "Give the file itself: it isn't read where the engine runs.")
    return path
