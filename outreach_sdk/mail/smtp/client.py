"""Sends short notices through an SMTP server (RFC 5321)."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from outreach_sdk.domain.message import POLICY, check_header_value
from outreach_sdk.errors import MailAuthError, MailRefused, MailTemporary

__all__ = ["SmtpNotices"]

TIMEOUT = 20.0


class SmtpNotices:
    """`url`: smtp://user:password@host:port (STARTTLS where offered) or smtps://…; `?from=` names the
    sender, by default the user."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname or "localhost"
        self._port = parts.port or (465 if self._tls else 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        asked = dict(p.partition("=")[::2] for p in parts.query.split("&") if p)
        user_address = self._user if "@" in self._user else f"outreach@{self._host}"
        self._sender = unquote(asked.get("from", user_address))

    def __repr__(self) -> str:
        return f"SmtpNotices({self._host}:{self._port})"

    def send(self, to: str, subject: str, text: str, *, key: str) -> None:
        """One notice. `key` makes its Message-ID, so that a notice sent twice shows once. Raises MailRefused,
        MailTemporary, MailAuthError."""
        message = EmailMessage(policy=POLICY)
        message["From"] = check_header_value("from", self._sender)
        message["To"] = check_header_value("to", to)
        message["Subject"] = check_header_value("subject", subject)
        message["Message-ID"] = f"<{key}@{self._sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            with self._connection() as connection:
                connection.send_message(message)
        except smtplib.SMTPAuthenticationError as exc:
            raise MailAuthError(f"{self!r} refused the user or password.") from exc
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused) as exc:
            raise MailRefused(f"{self!r} refused the notice to {to}.") from exc
        except (smtplib.SMTPException, OSError) as exc:
            raise MailTemporary(f"{self!r} didn't take the notice: {type(exc).__name__}.") from exc

    def check(self) -> None:
        """Whether the server lets this user in; nothing is sent. Raises MailTemporary, MailAuthError."""
        try:
            with self._connection() as connection:
                connection.noop()
        except smtplib.SMTPAuthenticationError as exc:
            raise MailAuthError(f"{self!r} refused the user or password.") from exc
        except (smtplib.SMTPException, OSError) as exc:
            raise MailTemporary(f"{self!r} doesn't answer: {type(exc).__name__}.") from exc

    def _connection(self) -> smtplib.SMTP:
        if self._tls:
            made: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=TIMEOUT, context=ssl.create_default_context()
            )
        else:
            made = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT)
            made.ehlo()
            if made.has_extn("starttls"):
                made.starttls(context=ssl.create_default_context())
                made.ehlo()
        if self._user and self._password:
            made.login(self._user, self._password)
        return made
