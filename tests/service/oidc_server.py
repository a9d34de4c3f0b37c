"""A third-party OIDC server (oauth2-mock-server, by npm) that signs what it is told to."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.mail.emulator import ROOT, install

TOOLS = ROOT / ".test-tools" / "oidc"
PACKAGE = {"type": "module", "private": True, "dependencies": {"oauth2-mock-server": "7.2.1"}}


class Issuer:
    """A running one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.base = f"http://127.0.0.1:{self._read()['port']}"
        self.certs_url = f"{self.base}/jwks"

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def token(self, **claims: Any) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(claims) + "\n")
        self._process.stdin.flush()
        return str(self._read()["token"])


@contextmanager
def issuer() -> Iterator[Issuer]:
    modules = install(TOOLS, PACKAGE)
    launcher = Path(__file__).with_name("oidc_launcher.mjs")
    with subprocess.Popen(
        ["node", str(launcher), str(modules)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Issuer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)
