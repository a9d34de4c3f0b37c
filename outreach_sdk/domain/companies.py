"""Companies that nobody writes to: by domain, or by a name however it is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["OffLimits", "company_key"]

_FORM = re.compile(
    "ab|ag|aps|as|asa|bv|co|company|corp|corporation|gmbh|group|holding|holdings|inc|incorporated|kft|kg|limited|llc|"
    "llp|ltd|nv|oy|oyj|plc|pte|pty|sa|sarl|sas|se|sl|sp|spa|srl|ug|zoo"
)
"""Legal forms, which people leave out as often as not."""
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", re.IGNORECASE)


def company_key(name: str) -> str:
    """A company's name as it is compared: without case, accents, punctuation and legal form."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(c for c in plain if not unicodedata.combining(c)).replace(".", "").replace("'", "")
    words = re.findall(r"\w+", letters)
    while len(words) > 1 and _FORM.fullmatch(words[-1]):
        words.pop()
    return " ".join(words)


class OffLimits:
    """A list of domains (with what is below them) and names."""

    def __init__(self, listed: Iterable[str]) -> None:
        entries = [one.strip().lower().removeprefix("@") for one in listed]
        self.domains = frozenset(one for one in entries if _DOMAIN.fullmatch(one))
        self.names = frozenset(company_key(one) for one in entries if one not in self.domains) - {""}

    def __bool__(self) -> bool:
        return bool(self.domains or self.names)

    def domain(self, domain: str) -> bool:
        """Whether an address at this domain is off limits."""
        parts = domain.lower().split(".")
        return any(".".join(parts[i:]) in self.domains for i in range(len(parts)))

    def company(self, name: str) -> bool:
        """Whether somebody at a company of this name is."""
        return bool(self.names) and company_key(name) in self.names
