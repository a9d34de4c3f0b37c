"""Reading MIME within bounds, whatever it is: the standard parser raises on some malformed mail, recurses
along nested parts and takes the square of some lengths."""

from __future__ import annotations

import codecs
import email
import email.errors
import email.header
import email.policy
import email.utils
import io
import re
from email.message import Message

__all__ = ["address_pairs", "charset_of", "clean", "decoded", "header_text", "read_bounded", "unix_lines"]

_MAX_RAW = 1_500_000
_MAX_KEPT_LINES = 30_000
_MAX_ENCODED_LINES = 4_000
_MAX_HEAD = 32_768
# The parser makes a message of every blank line in such a part, and doesn't decode it.
_STATUS_PART = re.compile(
    rb"(?<![^\r\n])(content-type:[ \t]*+(?:[\r\n]{1,2}[ \t]++)?)message/(?:global-)?delivery-status\b", re.I
)

_UNSTORABLE = re.compile("[\ud800-\udfff]")
_NO_CHARSETS = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
)
"""What Python decodes text with that no mail is written in."""


def clean(text: str) -> str:
    """`text` as a database takes it: without NULs, and with U+FFFD for halves of surrogate pairs."""
    return _UNSTORABLE.sub("\ufffd", text.replace("\x00", ""))


def _is_charset(name: str) -> bool:
    try:
        return codecs.lookup(name).name not in _NO_CHARSETS
    except (LookupError, ValueError):
        return False


def _shortened(raw: bytes) -> bytes:
    """`raw` with each long run of base64 lines cut, at most `_MAX_RAW` bytes of it."""
    kept = bytearray()
    run = lines = 0
    for line in io.BytesIO(raw):
        run = run + 1 if len(line) >= 40 and b" " not in line and b":" not in line else 0
        if run <= _MAX_ENCODED_LINES:
            kept += line[: _MAX_RAW - len(kept)]
            lines += 1
            if len(kept) >= _MAX_RAW or lines >= _MAX_KEPT_LINES:
                break
    return bytes(kept)


def unix_lines(raw: bytes) -> bytes:
    """`raw` with old Macs' bare CRs made line feeds: quoted-printable isn't read across them."""
    return raw.replace(b"\r", b"\n") if b"\n" not in raw[:4_000] else raw


def read_bounded(raw: bytes) -> Message:
    """`raw` parsed, with memory and time bounded: attachments are cut short, and what stands beyond 1.5 MB
    without them isn't read. Parts nested past what can be walked, or with parameters the
    parser stumbles over, are given as one text."""
    # The compat32 parser: the newer one raises on malformed headers that real mail has.
    raw = unix_lines(raw)
    start = raw.find(b"\r\n\r\n") if b"\r\n\r\n" in raw[:_MAX_HEAD] else raw.find(b"\n\n")
    if start < 0:
        raw = raw[: 2 * _MAX_HEAD]
    elif start > _MAX_HEAD:
        raw = raw[:_MAX_HEAD] + raw[start:]
    raw = _STATUS_PART.sub(rb"\1text/x-delivery-status", raw)
    if len(raw) > 20_000:
        raw = _shortened(raw)
    try:
        parsed = email.message_from_bytes(raw, policy=email.policy.compat32)
        for _ in parsed.walk():
            pass
    except (RecursionError, TypeError, ValueError, LookupError, AttributeError):
        head, _, rest = raw.partition(b"\n\n")
        kept = re.sub(rb"(?im)^content-type:.*(?:\r?\n[ \t].*)*", b"Content-Type: text/plain", head)
        parsed = email.message_from_bytes(kept + b"\n\n" + rest[:20_000], policy=email.policy.compat32)
    return parsed


def address_pairs(value: str) -> list[tuple[str, str]]:
    """(name, address) of a header's mailboxes. Its length and nesting are bounded: the parser takes the
    square of the one and recurses along the other."""
    value = " ".join(value[:20_000].split())[:8_000]
    if value.count("(") > 40 or value.count('"') > 400:
        value = re.sub(r"[()\"]", " ", value)
    return email.utils.getaddresses([value])


def header_text(value: object) -> str:
    """A header as it was written, its encoded words untouched. Bytes beyond ASCII are UTF-8 (RFC 6532)."""
    if not isinstance(value, email.header.Header):
        return clean(str(value))
    pieces = email.header.decode_header(value)
    return clean("".join(p.decode("utf-8", "replace") if isinstance(p, bytes) else str(p) for p, _ in pieces))


def decoded(value: object) -> str:
    """A header's encoded words, decoded where they can be."""
    text = header_text(value)
    if "=?" not in text:
        return text
    try:
        pieces = email.header.decode_header(text)
        if not all(charset is None or _is_charset(charset) for _, charset in pieces):
            return text
        return clean(str(email.header.make_header(pieces)))
    except (LookupError, ValueError, UnicodeError, email.errors.MessageError):
        return text


def charset_of(part: Message) -> str:
    """The character set a part names, or UTF-8. The parser stumbles over some malformed parameters."""
    try:
        name = part.get_content_charset()
        return name if name and _is_charset(name) else "utf-8"
    except (TypeError, ValueError, LookupError, AttributeError):
        return "utf-8"
