"""Notices to owners by a Slack-compatible incoming webhook."""
