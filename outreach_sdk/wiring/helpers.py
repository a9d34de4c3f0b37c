"""Who tells owners outside the product, and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outreach_sdk.ai.port import HeaderReader, PassageWriter, ReplyJudge
from outreach_sdk.config import Settings
from outreach_sdk.engine.telling import MAIL, SLACK, Channel, Notices

if TYPE_CHECKING:
    from outreach_sdk.ai.openai import OpenAiJudge

__all__ = ["channels", "check_notices", "header_reader", "notices", "passage_writer", "reply_judge"]


def channels(settings: Settings) -> tuple[Channel, ...]:
    """How owners can be told outside the product here: by Slack, and where OUTREACH_SMTP_URL is set by mail."""
    return (SLACK,) if settings.smtp_url is None else (MAIL, SLACK)


def notices(settings: Settings, channel: Channel) -> Notices:
    """What carries notices by a channel that `channels` gave."""
    if channel is SLACK or settings.smtp_url is None:
        from outreach_sdk.mail.slack.client import SlackNotices

        return SlackNotices(private_hosts=settings.notice_hosts)
    from outreach_sdk.mail.smtp.client import SmtpNotices

    return SmtpNotices(settings.smtp_url.reveal())


def check_notices(settings: Settings) -> None:
    """Try the server of OUTREACH_SMTP_URL, where that is set; nothing is sent. MailTemporary, MailAuthError."""
    if settings.smtp_url is not None:
        from outreach_sdk.mail.smtp.client import SmtpNotices

        SmtpNotices(settings.smtp_url.reveal()).check()


def passage_writer(settings: Settings) -> PassageWriter | None:
    """The model that writes passages, or None without OPENAI_API_KEY."""
    return _openai(settings)


def header_reader(settings: Settings) -> HeaderReader | None:
    """The model that reads headers, or None without OPENAI_API_KEY."""
    return _openai(settings)


def reply_judge(settings: Settings) -> ReplyJudge | None:
    """The model that judges replies, or None without OPENAI_API_KEY."""
    return _openai(settings)


def _openai(settings: Settings) -> OpenAiJudge | None:
    key = settings.openai_api_key
    if key is None:
        return None
    from outreach_sdk.ai.openai import DEFAULT_MODEL, OPENAI, OpenAiJudge

    return OpenAiJudge(
        key.reveal,
        model=settings.openai_model or DEFAULT_MODEL,
        base_url=settings.openai_base_url or OPENAI,
    )
