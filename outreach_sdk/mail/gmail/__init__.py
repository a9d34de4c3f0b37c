"""Gmail mailboxes. `client` imports Google's library; import it only where a mailbox is opened."""
