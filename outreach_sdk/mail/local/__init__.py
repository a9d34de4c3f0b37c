"""A mailbox in a folder (Maildir++): for trying things out, for demonstrations, and as a witness in tests."""
