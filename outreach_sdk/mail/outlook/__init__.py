"""Outlook mailboxes on Microsoft Graph. `tokens` imports MSAL; import it only where a mailbox is opened."""
