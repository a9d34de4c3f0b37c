"""Notices to owners by SMTP."""
