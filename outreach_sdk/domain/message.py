"""Addresses and messages: building RFC 5322 bytes and reading them back."""

from __future__ import annotations

import base64
import datetime as dt
import email
import email.policy
import email.utils
import hashlib
import html as html_lib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.headerregistry import Address as _HeaderAddress
from email.message import EmailMessage, Message

import nh3

from outreach_sdk.domain.mime import address_pairs, charset_of, clean, decoded, header_text, read_bounded
from outreach_sdk.errors import HeaderInjection, InvalidInput, NaiveDatetime

__all__ = [
    "KEY_HEADER",
    "Address",
    "IncomingMessage",
    "OutgoingMessage",
    "build",
    "check_header_value",
    "clean_html",
    "html_to_text",
    "is_html",
    "paragraphs",
    "parse_incoming",
    "text_hash",
    "text_to_html",
]

KEY_HEADER = "X-Outreach-Key"
"""Carries the send key. Gmail keeps custom X- headers on API sends."""

# Default folding breaks long In-Reply-To and List-Unsubscribe values, so lines may reach RFC 5322's limit.
POLICY = email.policy.SMTP.clone(max_line_length=998)

_FORBIDDEN = re.compile("[\x00-\x08\x0a-\x1f\x7f\x80-\x9f\u2028\u2029\ud800-\udfff]")
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bBqQ]\?[^?]*\?=")
_ADDRESS = re.compile(r"^[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+$")
_MESSAGE_ID = re.compile("<[^<>\\s\x00\ud800-\udfff]+>")
_MAX_ID = 998


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox address: `email` is local@domain, `name` the display name or ''."""

    email: str
    name: str = ""

    def __str__(self) -> str:
        return email.utils.formataddr((self.name, self.email)) if self.name else self.email


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message about to be prepared at a provider. `html` is already clean; `text` always exists.

    `in_reply_to` and `references` are header ids *as the provider reported them after sending*; with
    `provider_thread_id` they keep the reply in the thread. `subject` must equal the thread's then.
    """

    sender: Address
    to: tuple[Address, ...]
    subject: str
    text: str
    html: str | None = None
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    in_reply_to: str | None = None
    references: tuple[str, ...] = ()
    provider_thread_id: str | None = None
    rfc_message_id: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    date: dt.datetime | None = None

    def recipients(self) -> frozenset[str]:
        """Lower-cased addresses in To and Cc."""
        return frozenset(a.email.lower() for a in (*self.to, *self.cc))


@dataclass(frozen=True, slots=True)
class IncomingMessage:
    """A message found in a mailbox. `headers` holds every header, decoded, in order; `raw` the bytes."""

    provider_message_id: str
    provider_thread_id: str | None
    rfc_message_id: str | None
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    subject: str
    text: str
    html: str | None
    date: dt.datetime | None
    received_at: dt.datetime
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """First value of a header, whatever its case, or None."""
        wanted = name.lower()
        return next((v for k, v in self.headers if k.lower() == wanted), None)


def check_header_value(field_name: str, value: str) -> str:
    """`value`, if it can stand in a header; raises HeaderInjection for control characters, U+2028/2029
    and RFC 2047 encoded words (a decoder may turn those into line breaks, CVE-2024-6923)."""
    if _FORBIDDEN.search(value):
        raise HeaderInjection(
            field_name, value, "Take out line breaks and control characters: they would forge headers."
        )
    if _ENCODED_WORD.search(value):
        raise HeaderInjection(field_name, value, "Write the text itself, not an encoded word (=?…?=).")
    return value


def _address(field_name: str, address: Address) -> _HeaderAddress:
    check_header_value(f"{field_name} name", address.name)
    check_header_value(field_name, address.email)
    if not _ADDRESS.match(address.email):
        raise InvalidInput(field_name, address.email, "Give one e-mail address like ana@example.com.")
    local, _, domain = address.email.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii") if not domain.isascii() else domain
        return _HeaderAddress(address.name, local, domain)
    except (ValueError, UnicodeError, IndexError) as exc:
        raise InvalidInput(
            field_name, address.email, "Give one e-mail address like ana@example.com."
        ) from exc


def build(message: OutgoingMessage, *, send_key: str | None = None, with_bcc: bool = True) -> bytes:
    """RFC 5322 bytes of `message`. The bytes are parsed again and must show exactly the headers and
    recipients meant, else HeaderInjection or InvalidInput is raised and nothing leaves.

    `with_bcc`: Gmail reads the recipients off the raw message, so Bcc must be in it there.
    """
    if not message.to:
        raise InvalidInput("to", (), "A message needs at least one recipient.")
    out = EmailMessage(policy=POLICY)
    wanted: dict[str, str] = {}

    def put(name: str, value: str) -> None:
        out[name] = value
        wanted[name.lower()] = value

    out["From"] = _address("from", message.sender)
    out["To"] = [_address("to", a) for a in message.to]
    if message.cc:
        out["Cc"] = [_address("cc", a) for a in message.cc]
    if message.bcc and with_bcc:
        out["Bcc"] = [_address("bcc", a) for a in message.bcc]
    put("Subject", check_header_value("subject", message.subject))
    if message.date is not None:
        if message.date.tzinfo is None:
            raise NaiveDatetime("date", message.date, "Give it a time zone.")
        put("Date", email.utils.format_datetime(message.date))
    if message.rfc_message_id:
        put("Message-ID", check_header_value("message id", message.rfc_message_id))
    if message.in_reply_to:
        put("In-Reply-To", check_header_value("in-reply-to", message.in_reply_to))
    if message.references:
        put("References", check_header_value("references", " ".join(message.references)))
    for name, value in message.headers:
        check_header_value(name, value)
        if not re.fullmatch(r"[A-Za-z0-9-]+", name):
            raise HeaderInjection("header name", name, "Use letters, digits and hyphens.")
        put(name, value)
    if send_key is not None:
        put(KEY_HEADER, send_key)
    out.set_content(message.text)
    if message.html is not None:
        out.add_alternative(message.html, subtype="html")
    raw = out.as_bytes()
    _check_built(raw, message, wanted, with_bcc=with_bcc)
    return raw


_STRUCTURAL = {"from", "to", "cc", "bcc", "mime-version", "content-type", "content-transfer-encoding"}


def _check_built(raw: bytes, message: OutgoingMessage, wanted: dict[str, str], *, with_bcc: bool) -> None:
    parsed = email.message_from_bytes(raw, policy=POLICY)
    names = [k.lower() for k in parsed]
    extra = set(names) - set(wanted) - _STRUCTURAL
    if extra or len(names) != len(set(names)):
        raise HeaderInjection(
            "headers", sorted(extra or names), "The built message has headers nobody meant."
        )
    for name, value in wanted.items():
        got = parsed[name]
        if got is None or " ".join(str(got).split()) != " ".join(value.split()):
            raise HeaderInjection(name, value, "The built header reads back differently.")
    meant = {
        "to": message.to,
        "cc": message.cc,
        "bcc": message.bcc if with_bcc else (),
    }
    for name, addresses in meant.items():
        header = parsed[name]
        found = [a.addr_spec.lower() for a in header.addresses] if header is not None else []
        expected = [_address(name, a).addr_spec.lower() for a in addresses]
        if found != expected:
            raise HeaderInjection(name, [str(a) for a in addresses], "The recipients read back differently.")


_ALLOWED_TAGS = {
    "a", "b", "blockquote", "br", "code", "div", "em", "h1", "h2", "h3", "h4", "hr", "i", "img", "li", "ol",
    "p", "pre", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "th", "thead", "tr",
    "u", "ul",
}  # fmt: skip
_ALLOWED_ATTRIBUTES = {
    "a": {"href", "title"},
    "img": {"src", "alt", "width", "height"},
    "td": {"align", "colspan", "rowspan"},
    "th": {"align", "colspan", "rowspan"},
}


def clean_html(value: str) -> str:
    """`value` with only harmless tags, and links that are https or mailto."""
    return nh3.clean(
        value,
        tags=_ALLOWED_TAGS,
        attributes=_ALLOWED_ATTRIBUTES,
        url_schemes={"https", "mailto"},
        link_rel=None,
    )


_HAS_TAG = re.compile(r"<(?:/?(?:p|br|div|a|b|i|em|strong|ul|ol|li|table|span|h[1-4])\b[^<>]*)>", re.I)


def is_html(body: str) -> bool:
    """Whether a person typed HTML rather than plain text."""
    return bool(_HAS_TAG.search(body))


_LAID_OUT = re.compile(r"<\s*/?(?:p|br|div|ul|ol|li|table|tr|h[1-6]|hr|blockquote|pre)\b[^<>]*>", re.I)
_TAG = re.compile(r"<[^<>]*>")


def paragraphs(body: str) -> str:
    """HTML whose lines and paragraphs are those it was typed in: a text with a link or a bold word in it. What has
    paragraphs or line breaks of its own stays as it is."""
    return body if _LAID_OUT.search(body) else _in_paragraphs(_TAG.sub(_on_one_line, body))


def _on_one_line(tag: re.Match[str]) -> str:
    return " ".join(tag.group().split("\n"))


def _in_paragraphs(body: str) -> str:
    parts = re.split(r"\n\s*\n", body.strip("\n"))
    return "".join(f"<p>{part.replace(chr(10), '<br>')}</p>" for part in parts)


def text_to_html(body: str, *, rich: bool | None = None) -> str:
    """What a person typed, as clean HTML: its own where it has any, and paragraphs and line breaks where it has none.
    `rich` says whether it is HTML, where `body` has had values merged into it since it was typed."""
    if is_html(body) if rich is None else rich:
        return clean_html(paragraphs(body))
    return _in_paragraphs(html_lib.escape(body, quote=False))


# No tag and no link reaches past where the next begins, so that no HTML takes longer than its length.
_BREAKS = re.compile(r"<\s*+(?:br|/p|/div|/li|/tr|/h[1-6]|hr)\b[^<>]*+>", re.I)
# No possessive group: Python before 3.11.5 loses its place in one (gh-106052).
_LINK = re.compile(r"<a\b[^<>]*?href=\"([^\"<>]*)\"[^<>]*+>((?:[^<]|<(?!/?a\b))*)</a\s*+>", re.I)
_TAGS = re.compile(r"<[^<>]*+>")
_HIDDEN = re.compile(r"<(style|script|head|title)\b.*?(?:</\1\s*>|\Z)", re.I | re.S)


def html_to_text(value: str) -> str:
    """A plain reading of HTML: blocks become lines, links show their address after their text."""

    def link(match: re.Match[str]) -> str:
        href, label = match.group(1), _TAGS.sub("", match.group(2)).strip()
        return label if not href or href == label or href == f"mailto:{label}" else f"{label} ({href})"

    text = _HIDDEN.sub("", value)
    text = re.sub(r"[\r\n]+", " ", text)
    text = _LINK.sub(link, text)
    text = re.sub(r"</p\s*>", "\n\n", text, flags=re.I)
    text = _BREAKS.sub("\n", text)
    text = html_lib.unescape(_TAGS.sub("", text)).replace("\xa0", " ")
    lines = [re.sub(r"[ \t]+", " ", line).strip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


_BLOCK = re.compile(r"<\s*+(/?)(blockquote|div)\b([^<>]*+)>", re.I)
# What mail programs put around the message that is answered: Apple and Thunderbird, Gmail, Yahoo.
_QUOTES = re.compile(
    r"\btype\s*=\s*[\"']?cite\b|\bclass\s*=\s*[\"']?[^\"'>]{0,80}\b(?:gmail_attr|moz-cite-prefix|yahoo_quoted)\b",
    re.I,
)
_GMAIL = re.compile(r"\bclass\s*=\s*[\"']?[^\"'>]{0,80}\bgmail_quote\b", re.I)
# Outlook marks where the quoted message begins; it goes on to the end.
_QUOTED_ON = re.compile(r"\bid\s*=\s*[\"']?(?:x_)*(?:divRplyFwdMsg|appendonsend)\b", re.I)
_QUOTE_BEGINS, _QUOTE_ENDS = "\ue000", "\ue001"


def reply_to_text(value: str) -> str:
    """A plain reading of an answer's HTML, with `>` before the lines that its mail program marks as quoted;
    unmarked where there is nothing else."""
    value = _HIDDEN.sub("", value.replace(_QUOTE_BEGINS, "").replace(_QUOTE_ENDS, ""))
    pieces: list[str] = []
    done = 0
    for begin, end in _quoted(value):
        pieces += value[done:begin], f"<br>{_QUOTE_BEGINS}<br>", value[begin:end], f"<br>{_QUOTE_ENDS}<br>"
        done = end
    if not pieces:
        return html_to_text(value)
    lines: list[str] = []
    depth = own = 0
    for line in html_to_text("".join((*pieces, value[done:]))).split("\n"):
        if line in (_QUOTE_BEGINS, _QUOTE_ENDS):
            depth += 1 if line == _QUOTE_BEGINS else -1
            continue
        own += not depth and bool(line)
        lines.append(f"> {line}".rstrip() if depth else line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") if own else html_to_text(value)


def _quoted(value: str) -> list[tuple[int, int]]:
    """Where the outermost quotes begin and end."""
    ranges: list[tuple[int, int]] = []
    stack: list[tuple[str, bool]] = []
    open_names = {"div": 0, "blockquote": 0}
    depth = begin = 0
    last_blockquote = value.lower().rfind("<blockquote")
    for tag in _BLOCK.finditer(value):
        name = tag[2].lower()
        if not tag[1]:
            if not depth and _QUOTED_ON.search(tag[3]):
                return [*ranges, (tag.start(), len(value))]
            quote = _QUOTES.search(tag[3]) is not None or (
                _GMAIL.search(tag[3]) is not None and (name == "blockquote" or tag.end() > last_blockquote)
            )
            if quote:
                begin, depth = (begin if depth else tag.start()), depth + 1
            stack.append((name, quote))
            open_names[name] += 1
        elif open_names[name]:
            closed, shown = "", depth
            while closed != name:
                closed, quote = stack.pop()
                open_names[closed] -= 1
                depth -= quote
            if shown and not depth:
                ranges.append((begin, tag.end()))
    return [*ranges, (begin, len(value))] if depth else ranges


def text_hash(text: str) -> str:
    """Fingerprint of the visible words, blind to white space, wrapping and quoting marks, which
    providers and relays change."""
    words = re.sub(r"[\s>]+", " ", text).strip()
    return hashlib.sha256(words.encode("utf-8", "replace")).hexdigest()


def message_ids(value: str | None) -> tuple[str, ...]:
    """The <…> ids of a References or In-Reply-To header, in order. What is longer than a line may be is none."""
    return tuple(i for i in _MESSAGE_ID.findall(value or "") if len(i.encode()) <= _MAX_ID)


def _addresses(values: Iterable[str]) -> tuple[Address, ...]:
    # Split first, decode names after: a decoded name may hold a comma.
    pairs = [pair for v in values if v for pair in address_pairs(v)]
    return tuple(Address(a.strip(), " ".join(decoded(n).split())) for n, a in pairs if "@" in a)


def _part_text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return clean(str(part.get_payload() or ""))
    for name in (charset_of(part), "utf-8", "cp1252"):
        try:
            return clean(payload.decode(name))
        except (LookupError, ValueError):
            continue
    return clean(payload.decode("latin-1"))


_MAX_HEADERS = 2_000


def parse_incoming(
    raw: bytes,
    *,
    provider_message_id: str,
    provider_thread_id: str | None,
    received_at: dt.datetime,
) -> IncomingMessage:
    """Read a message as it came, however malformed: never raises on content.

    `text` is the first text/plain body, or the plain reading of the HTML where that is empty, with
    `>` before what it quotes; attachments are left out. No text has what a database refuses (`mime.clean`).
    """
    parsed = read_bounded(raw)
    headers = tuple((k, " ".join(decoded(v).split())) for k, v in parsed.items()[:_MAX_HEADERS])
    plain: list[str] = []
    rich: list[str] = []
    for part in parsed.walk():
        if part.is_multipart() or part.get_content_disposition() == "attachment":
            continue
        if part.get_content_type() == "text/plain":
            plain.append(_part_text(part))
        elif part.get_content_type() == "text/html":
            rich.append(_part_text(part))
    html = rich[0] if rich else None
    text = plain[0] if plain and (plain[0].strip() or not html) else (reply_to_text(html) if html else "")

    def every(name: str) -> list[str]:
        return [v for k, v in headers if k.lower() == name]

    def people(name: str) -> tuple[Address, ...]:
        return _addresses([header_text(v) for v in parsed.get_all(name) or []])

    date: dt.datetime | None = None
    for value in every("date")[:1]:
        try:
            date = email.utils.parsedate_to_datetime(value)
            date = date.replace(tzinfo=dt.UTC) if date.tzinfo is None else date
        except (ValueError, TypeError, IndexError, OverflowError):
            date = None
    ids = message_ids(" ".join(every("message-id")))
    senders = people("from")
    return IncomingMessage(
        provider_message_id=provider_message_id,
        provider_thread_id=provider_thread_id,
        rfc_message_id=ids[0] if ids else None,
        in_reply_to=message_ids(" ".join(every("in-reply-to"))),
        references=message_ids(" ".join(every("references"))),
        sender=senders[0] if senders else None,
        to=people("to"),
        cc=people("cc"),
        subject=" ".join((every("subject") or [""])[0].split()),
        text=text.replace("\r\n", "\n"),
        html=html,
        date=date,
        received_at=received_at,
        headers=headers,
        raw=raw,
    )


def new_rfc_message_id(send_key: str, sender: str) -> str:
    """A Message-ID of our own for providers that keep it, drawn from the send key."""
    local = base64.b32encode(hashlib.sha256(send_key.encode()).digest()[:15]).decode().lower()
    return f"<{local}@{sender.rpartition('@')[2] or 'localhost'}>"
