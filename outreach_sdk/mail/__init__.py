"""Mailboxes: the port, and a folder for each vendor behind it."""
